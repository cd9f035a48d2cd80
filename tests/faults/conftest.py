"""Nodes that receive, started and stopped around a test."""

from __future__ import annotations

from tests.station.conftest import receiving, receiving_node

__all__ = ["receiving", "receiving_node"]
