"""Shared HTTP ground: calls of other services, within limits, and the secrets they need."""
