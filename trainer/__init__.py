"""The trainer: from labelled images to a bundle that the node serves."""
