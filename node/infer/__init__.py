"""Inference: the model folder, its handshake, the embedded engine, the golden replay and the canary."""
