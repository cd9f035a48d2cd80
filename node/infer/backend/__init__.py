"""What runs within the inference server: never imported by the node, copied into a model repository."""
