"""Model folders in the repository: small enough to be cloned, whole, and readable by the node."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.infer.bundle import load_bundle

MODELS = Path(__file__).parents[2] / "triton_models"
LARGEST = 45_000_000
"""Bytes of a folder."""
SHIPPED = sorted(path.name for path in MODELS.iterdir() if path.is_dir())


def test_there_is_a_bundle() -> None:
    assert SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_bundle_is_small_and_whole(name: str) -> None:
    folder = MODELS / name
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert size <= LARGEST, f"{name} has {size} bytes"
    assert load_bundle(folder).name == name
    assert (folder / "LICENSE").read_text(encoding="utf-8").strip()
