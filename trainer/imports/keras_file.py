"""Layers and arrays of a Keras file, read with h5py alone: nothing is unpickled or instantiated.

Two forms are read. The legacy HDF5 form (Keras 2, tf.keras up to 2.15; ``.h5``, ``.hdf5``): attributes
``layer_names`` and ``weight_names`` list what there is, in the group ``model_weights`` of a whole model or
at the root of a weights file; attributes above 64 kB are split into ``layer_names0``, ``layer_names1`` and
so on. The Keras 3 form (``.keras``): a zip with ``config.json`` and ``model.weights.h5``.

Shapes and types are known before any array is read, and are bounded; links that lead out of the file, virtual
and external data sets are refused.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from trainer.errors import WeightsError

LARGEST_FILE: Final = 2 * 1024**3
LARGEST_TENSORS: Final = 1024**3
"""Bytes of all arrays together as float32; the largest network here has 34 million parameters."""
LARGEST_CONFIG: Final = 64 * 1024**2
LARGEST_ATTRIBUTE: Final = 1024**2
MOST_LAYERS: Final = 4096
MOST_TENSORS: Final = 8
MOST_PARTS: Final = 64
"""Parts of a split attribute."""
KINDS: Final = {"float16", "float32", "float64"}
STORED_CLASSES: Final = {
    "Conv2D": "conv2d",
    "SeparableConv2D": "separable_conv2d",
    "BatchNormalization": "batch_normalization",
    "Dense": "dense",
}
"""Keras 3 names a stored layer by its class and a running number within its model."""


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """One array of the file, not yet read."""

    layer: str
    """Keras' name of the layer."""
    name: str
    """Last part of the array's name without its ``:0``: ``kernel``, ``gamma``; Keras 3 has numbers."""
    path: str
    """Within the file."""
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class StoredLayer:
    """One layer that has weights."""

    name: str
    tensors: tuple[StoredTensor, ...]
    """In the order in which Keras lists them."""


class KerasFile:
    """An open file: what it holds, and its arrays one by one.

    Attributes
    ----------
    layers : tuple of StoredLayer
        Layers with weights, in file order.
    """

    def __init__(self, root: h5py.Group, listed: Sequence[tuple[str, Sequence[str]]]) -> None:
        self._root = root
        self.layers = tuple(
            StoredLayer(name=name, tensors=tuple(_stored(root, name, path) for path in paths))
            for name, paths in listed
            if paths
        )
        names = Counter(layer.name for layer in self.layers)
        twice = sorted(name for name, count in names.items() if count > 1)
        if twice:
            raise WeightsError(f"the file lists layer {twice[0]!r} twice; it is damaged")
        size = sum(4 * math.prod(tensor.shape) for layer in self.layers for tensor in layer.tensors)
        if size > LARGEST_TENSORS:
            raise WeightsError(f"the file's arrays have {size} bytes, more than {LARGEST_TENSORS}")

    def read(self, tensor: StoredTensor) -> NDArray[np.float32]:
        """Read one array.

        Raises
        ------
        WeightsError
            It cannot be read, or holds a value that is not a finite float32 number.
        """
        try:
            with np.errstate(over="ignore"):
                values = np.asarray(_dataset(self._root, tensor.path)[()], dtype=np.float32)
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"array {tensor.path!r} cannot be read ({error}); the file is damaged"
            ) from error
        if not np.isfinite(values).all():
            raise WeightsError(f"array {tensor.path!r} holds values that are no finite numbers")
        return values


@contextmanager
def keras_file(file: Path) -> Iterator[KerasFile]:
    """Open a Keras file of either form, for reading only.

    Raises
    ------
    WeightsError
        It is neither form, is damaged, or exceeds a limit.
    """
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise WeightsError(f"{file.name} has more than {LARGEST_FILE} bytes")
        if zipfile.is_zipfile(file):
            content, config = _zip_parts(file)
            with h5py.File(BytesIO(content), "r") as root:
                yield KerasFile(root, _listed_in_config(root, config))
            return
        with h5py.File(file, "r") as root:
            group = _member(root, "model_weights", h5py.Group) if "model_weights" in root else root
            yield KerasFile(group, _listed_in_attributes(group))
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{file.name} is no Keras file that can be read ({error}); give an .h5, .hdf5 or .keras file"
        ) from error


def _zip_parts(file: Path) -> tuple[bytes, Any]:
    with zipfile.ZipFile(file) as archive:
        parts = []
        for name, limit in (("model.weights.h5", LARGEST_TENSORS), ("config.json", LARGEST_CONFIG)):
            with archive.open(name) as stream:
                content = stream.read(limit + 1)
            if len(content) > limit:
                raise WeightsError(f"{file.name}: {name} has more than {limit} bytes")
            parts.append(content)
    return parts[0], json.loads(parts[1])


def _member(group: h5py.Group, path: str, kind: type[Any]) -> Any:
    """Walk a path by hard links only: soft and external links could lead anywhere."""
    found: Any = group
    for part in path.split("/"):
        if not part or not isinstance(found, h5py.Group) or part not in found:
            raise WeightsError(f"the file lists {path!r} but does not hold it")
        if not isinstance(found.get(part, getlink=True), h5py.HardLink):
            raise WeightsError(f"{path!r} is a link; only files that hold their own arrays are read")
        found = found[part]
    if not isinstance(found, kind):
        raise WeightsError(f"{path!r} is not what the file lists it as")
    return found


def _dataset(group: h5py.Group, path: str) -> h5py.Dataset:
    return _member(group, path, h5py.Dataset)


def _stored(root: h5py.Group, layer: str, path: str) -> StoredTensor:
    found = _dataset(root, path)
    if found.is_virtual or found.external:
        raise WeightsError(
            f"array {path!r} lies outside the file; only files that hold their arrays are read"
        )
    if found.dtype.name not in KINDS:
        raise WeightsError(f"array {path!r} is of type {found.dtype}, not a floating-point number")
    name = path.rsplit("/", 1)[-1].removesuffix(":0")
    return StoredTensor(layer=layer, name=name, path=path, shape=tuple(int(side) for side in found.shape))


def _listed_in_attributes(group: h5py.Group) -> list[tuple[str, list[str]]]:
    layers = _names(group, "layer_names", MOST_LAYERS)
    result = []
    for layer in layers:
        own = _member(group, layer, h5py.Group)
        names = _names(own, "weight_names", MOST_TENSORS)
        result.append((layer, [f"{layer}/{name}" for name in names]))
    return result


def _names(group: h5py.Group, attribute: str, most: int) -> list[str]:
    """Return a list of texts from an attribute, whole or split."""
    parts = [attribute]
    if attribute not in group.attrs:
        parts = [f"{attribute}{number}" for number in range(MOST_PARTS)]
        parts = [part for part in parts if part in group.attrs]
    if not parts:
        raise WeightsError(f"the file's {group.name!r} has no attribute {attribute!r}; it is no Keras 2 file")
    names: list[str] = []
    for part in parts:
        stored = group.attrs.get_id(part)
        if math.prod(stored.shape) * stored.dtype.itemsize > LARGEST_ATTRIBUTE:
            raise WeightsError(f"attribute {part!r} has more than {LARGEST_ATTRIBUTE} bytes")
        for value in np.atleast_1d(group.attrs[part]).tolist():
            if not isinstance(value, bytes | str):
                raise WeightsError(f"attribute {part!r} holds something that is no text")
            names.append(value.decode("utf-8") if isinstance(value, bytes) else value)
    if len(names) > most:
        raise WeightsError(f"attribute {attribute!r} lists {len(names)} names, more than {most}")
    return names


def _listed_in_config(root: h5py.Group, config: Any) -> list[tuple[str, list[str]]]:
    """Return layers and array paths of a Keras 3 model, or of the only model nested in it."""
    layers, base = _layers_of(config), "layers"
    nested = [layer for layer in layers if layer.get("class_name") == "Functional"]
    if len(nested) == 1:
        layers, base = _layers_of(nested[0]), "layers/functional/layers"
    elif nested:
        raise WeightsError(f"the file's configuration nests {len(nested)} models; which is meant?")
    counts: Counter[str] = Counter()
    result = []
    for layer in layers:
        stored = STORED_CLASSES.get(str(layer.get("class_name")))
        if stored is None:
            continue
        index = counts[stored]
        counts[stored] += 1
        path = f"{base}/{stored}{f'_{index}' if index else ''}/vars"
        group = _member(root, path, h5py.Group)
        if len(group) > MOST_TENSORS:
            raise WeightsError(f"{path!r} holds {len(group)} arrays, more than {MOST_TENSORS}")
        name = str(layer["config"]["name"])
        result.append((name, [f"{path}/{number}" for number in range(len(group))]))
    return result


def _layers_of(config: Any) -> list[Mapping[str, Any]]:
    layers = config.get("config", {}).get("layers") if isinstance(config, dict) else None
    if not isinstance(layers, list) or len(layers) > MOST_LAYERS:
        raise WeightsError("the file's configuration holds no list of layers; give another file")
    if not all(isinstance(layer, dict) and isinstance(layer.get("config"), dict) for layer in layers):
        raise WeightsError("the file's configuration holds a layer of an unknown form; give another file")
    return layers
