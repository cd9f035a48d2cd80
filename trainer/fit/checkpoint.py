"""Checkpoints that a kill at any moment leaves whole."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from trainer.errors import CheckpointError, OutputError, WeightsError


def write_atomically(file: Path, content: bytes) -> None:
    """Write, sync, rename, sync the folder: afterwards there is the old file or the new one, never half.

    Raises
    ------
    OutputError
        The disk is full or the folder cannot be written to; the old file stays.
    """
    temporary = file.with_name(file.name + ".part")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        _become(temporary, file)
    except OSError as error:
        if temporary.is_file():
            temporary.unlink()
        raise OutputError(
            f"{file} could not be written ({error}); make room or choose another place"
        ) from error


def _become(temporary: Path, file: Path) -> None:
    """Put a synced file in the place of another, and make that durable."""
    temporary.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def save_checkpoint(file: Path, state: dict[str, Any]) -> None:
    """Save tensors and plain values; the former checkpoint stays until the new one is durable.

    Raises
    ------
    CheckpointError
        The disk is full or the folder cannot be written to.
    """
    temporary = file.with_name(file.name + ".part")
    try:
        with temporary.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        _become(temporary, file)
    except (OSError, RuntimeError) as error:
        if temporary.is_file():
            temporary.unlink()
        raise CheckpointError(
            f"{file} could not be written ({error}); the last good checkpoint stays: make room and "
            "run again with --resume"
        ) from error


def load_checkpoint(file: Path) -> dict[str, Any]:
    """Load a checkpoint without executing anything from it.

    Raises
    ------
    CheckpointError
        It is missing or damaged.
    """
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{file} is missing or damaged ({error}); remove it to fit this member anew"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{file} is no checkpoint; remove it to fit this member anew")
    return state


def sha256_of(file: Path) -> str:
    """Return a file's SHA-256, hexadecimal.

    Raises
    ------
    WeightsError
        It cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{file} cannot be read: {error}") from error
