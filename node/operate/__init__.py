"""Watching the node: health, metrics, and what an operator asks for."""
