"""The stored answer of a model (``golden.npz``): phantom slices, what they become and what is expected."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.domain.errors import BundleError
from node.domain.input_spec import InputModality, InputSpec
from node.domain.model import Precision
from node.imaging.prepare import HIGHEST_GREY

MAX_BYTES = 256 << 20
"""Of the whole archive, unpacked."""

_DIMENSIONS = {
    "slices": (np.dtype(np.uint16), 3),
    "prepared": (np.dtype(np.float32), 4),
    "probabilities": (np.dtype(np.float32), 2),
    "cam": (np.dtype(np.float32), 3),
}
_TOLERANCES = {
    "tolerance_f32": Precision.F32,
    "tolerance_bf16": Precision.BF16,
    "tolerance_int8": Precision.INT8,
}


@dataclass(frozen=True, kw_only=True)
class Golden:
    """Slices of the generated phantom, never a patient's, and the answer that the export recorded."""

    slices: NDArray[np.uint16]
    """Shape (slices, rows, columns): HU + 1024 in display orientation; for radiographs grey levels."""
    prepared: NDArray[np.float32]
    """Shape (slices, channels, input rows, input columns): what the preparation must give."""
    probabilities: NDArray[np.float32]
    """Shape (slices, classes)."""
    cam: NDArray[np.float32]
    """Shape (slices, grid rows, grid columns)."""
    tolerances: Mapping[Precision, float]
    """Largest allowed difference of a probability, and of a map divided by its maximum."""


def load_golden(path: Path, spec: InputSpec) -> Golden:
    """Read ``golden.npz`` and check it against the specification.

    Raises
    ------
    BundleError
        The file is missing, malformed or of other shapes than the specification has.
    """
    try:
        _limit(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: _array(archive, name, path) for name in (*_DIMENSIONS, *_present(archive))}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    _check(path, arrays, spec)
    return Golden(
        slices=arrays["slices"],
        prepared=arrays["prepared"],
        probabilities=arrays["probabilities"],
        cam=arrays["cam"],
        tolerances=MappingProxyType(
            {
                precision: float(arrays[name])
                for name, precision in _TOLERANCES.items()
                if name in arrays and np.isfinite(arrays[name])
            }
        ),
    )


def _limit(path: Path) -> None:
    """Refuse an archive whose members claim more than a golden answer needs, before unpacking."""
    with zipfile.ZipFile(path) as archive:
        if sum(item.file_size for item in archive.infolist()) > MAX_BYTES:
            raise BundleError(f"{path}: unpacks to more than {MAX_BYTES} bytes")


def _present(archive: np.lib.npyio.NpzFile) -> list[str]:
    return [name for name in _TOLERANCES if name in archive.files]


def _array(archive: np.lib.npyio.NpzFile, name: str, path: Path) -> NDArray[Any]:
    if name not in archive.files:
        raise BundleError(f"{path}: array {name!r} is missing")
    array: NDArray[Any] = archive[name]
    if name in _TOLERANCES:
        if array.shape != () or array.dtype.kind != "f":
            raise BundleError(f"{path}: {name!r} must be one floating-point number")
        return array
    dtype, dimensions = _DIMENSIONS[name]
    if array.dtype != dtype or array.ndim != dimensions:
        raise BundleError(f"{path}: array {name!r} must be {dtype} with {dimensions} axes")
    return array


def _check(path: Path, arrays: Mapping[str, NDArray[Any]], spec: InputSpec) -> None:
    count = len(arrays["slices"])
    expected = {
        "prepared": (count, spec.input.channels, *spec.input.size),
        "probabilities": (count, len(spec.outputs.classes)),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise BundleError(f"{path}: array {name!r} has shape {arrays[name].shape}, not {shape}")
    if spec.modality is InputModality.CR and arrays["slices"].max(initial=0) > HIGHEST_GREY:
        raise BundleError(f"{path}: 'slices' of a model of radiographs must hold grey levels up to 255")
    if count == 0 or len(arrays["cam"]) != count:
        raise BundleError(f"{path}: needs at least one slice, and one map a slice")
    if "tolerance_f32" not in arrays:
        raise BundleError(f"{path}: 'tolerance_f32' is missing")
    if not all(np.isfinite(arrays[name]).all() for name in ("prepared", "probabilities", "cam")):
        raise BundleError(f"{path}: holds values that are not finite")
