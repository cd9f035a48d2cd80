"""The training loop, its recipe, its checkpoints."""
