"""Nodes that receive, started and stopped around a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.model_folder import tiny_bundle
from tests.screening_ground import ends, ground
from tests.station.receiving_node import Receiving, start_receiving
from tests.triton_server import own_triton, triton

__all__ = ["ends", "ground", "own_triton", "tiny_bundle", "triton"]


@pytest.fixture
def receiving_node(tmp_path: Path) -> Iterator[Callable[..., Receiving]]:
    """Return a function that starts a receiving node; keywords replace limits."""
    started: list[Receiving] = []

    def start(**limits: object) -> Receiving:
        started.append(start_receiving(tmp_path / f"node{len(started)}", **limits))
        return started[-1]

    yield start
    for node in started:
        assert node.listener.stop(grace_seconds=2.0)
        node.database.close()


@pytest.fixture
def receiving(receiving_node: Callable[..., Receiving]) -> Receiving:
    """Return a receiving node with the usual limits."""
    return receiving_node()
