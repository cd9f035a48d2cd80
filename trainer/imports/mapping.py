"""Where each array of a Keras file goes, decided on shapes alone; everything is accounted for or refused."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.errors import WeightsError
from trainer.imports.keras_file import KerasFile, StoredLayer, StoredTensor

Shapes = Mapping[str, tuple[int, ...]]
PARTS: Final = {
    "conv": (("kernel", "weight"), ("bias", "bias")),
    "separable": (("depthwise_kernel", "depthwise.weight"), ("pointwise_kernel", "pointwise.weight")),
    "norm": (
        ("gamma", "weight"),
        ("beta", "bias"),
        ("moving_mean", "running_mean"),
        ("moving_variance", "running_var"),
    ),
    "dense": (("kernel", "weight"), ("bias", "bias")),
}
"""Kind of a layer -> Keras' name of each array, in file order, and the own one."""
ORDER: Final = {
    "kernel": (3, 2, 0, 1),  # Keras: rows, columns, in, out
    "pointwise_kernel": (3, 2, 0, 1),
    "depthwise_kernel": (2, 3, 0, 1),  # Keras: rows, columns, in, multiplier
}
SHOWN: Final = 8
"""Mismatches that a refusal lists."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """One array and its place."""

    source: StoredTensor
    target: str
    """Name in the network's state."""
    order: tuple[int, ...]
    """Axes of the source in the order of the target."""
    grid: tuple[int, int] | None = None
    """Of a dense kernel behind a flattened map: Keras flattens channels last, torch first."""
    summed: bool = False
    """Whether a kernel for three input channels becomes one for a single channel, as the sum."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape at the target."""
        shape = [self.source.shape[axis] for axis in self.order]
        if self.summed:
            shape[1] = 1
        return tuple(shape)

    def moved(self, values: NDArray[np.float32]) -> Tensor:
        """Return the values as they stand at the target."""
        if self.grid is not None:
            rows, columns = self.grid
            by_cell = values.reshape(rows, columns, -1, values.shape[-1])
            moved = by_cell.transpose(3, 2, 0, 1).reshape(values.shape[-1], -1)
        else:
            moved = values.transpose(self.order)
        if self.summed:
            moved = moved.sum(axis=1, keepdims=True)
        return torch.from_numpy(np.ascontiguousarray(moved))


@dataclass(frozen=True, kw_only=True)
class Dense:
    """A dense layer of the network, which a file does not name but whose width tells it."""

    module: str
    width: int
    grid: tuple[int, int] | None
    """Of the flattened map in front of it."""


def dense_layers(layers: Sequence[StoredLayer]) -> list[StoredLayer]:
    """Return the dense layers in the order of their creation, by the number in their automatic names."""
    found = [layer for layer in layers if len(layer.tensors[0].shape) == 2]
    return sorted(found, key=_number)


def _number(layer: StoredLayer) -> int:
    found = re.search(r"_(\d{1,9})$", layer.name)
    return int(found[1]) if found else 0


def plan_moves(
    layers: Sequence[StoredLayer],
    shapes: Shapes,
    place: Callable[[StoredLayer], str | None],
    dense: Sequence[Dense],
    *,
    summed: str | None = None,
) -> list[Move]:
    """Give every array of the file its place in the network.

    Parameters
    ----------
    layers : sequence of StoredLayer
        All of the file.
    shapes : mapping
        Name -> shape of every tensor that the file must fill.
    place : callable
        Convolution, norm or separable layer -> module; None where there is none.
    dense : sequence of Dense
        The dense layers that the file must hold; those of one width in the order of their creation.
    summed : str or None
        Tensor whose input channels may be summed to one.

    Raises
    ------
    WeightsError
        An array has no place, a tensor no array, or shapes or names differ; the message lists them.
    """
    moves: list[Move] = []
    wrong: list[str] = []
    taken = {one.name: to for one, to in _dense_places(layers, dense, wrong)}
    for layer in layers:
        kind = _kind(layer)
        found = taken.get(layer.name)
        module = found.module if found else (None if kind == "dense" else place(layer))
        if module is None:
            if kind != "dense":
                wrong.append(f"layer {layer.name!r} {_shapes(layer)} belongs to no layer of the network")
            continue
        moves += _moves_of(layer, kind, module, found.grid if found else None, wrong)
    moves = [_summed(move, shapes) if move.target == summed else move for move in moves]
    wrong += _differences(moves, shapes)
    if wrong:
        more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise WeightsError(f"the file does not fit the network: {'; '.join(wrong[:SHOWN])}{more}")
    return moves


def _dense_places(
    layers: Sequence[StoredLayer], dense: Sequence[Dense], wrong: list[str]
) -> list[tuple[StoredLayer, Dense]]:
    free, result = list(dense), []
    for layer in dense_layers(layers):
        width = layer.tensors[0].shape[0]
        fitting = next((one for one in free if one.width == width), None)
        if fitting is None:
            wrong.append(
                f"dense layer {layer.name!r} takes {width} values; expected are "
                f"{', '.join(str(one.width) for one in dense) or 'no dense layers'}"
            )
            continue
        free.remove(fitting)
        result.append((layer, fitting))
    return result


def _kind(layer: StoredLayer) -> str:
    shapes = [tensor.shape for tensor in layer.tensors]
    if len(shapes[0]) == 2:
        return "dense"
    if len(shapes[0]) == 1:
        return "norm"
    return "separable" if len(shapes) > 1 and len(shapes[1]) == 4 else "conv"


def _shapes(layer: StoredLayer) -> str:
    return ", ".join(str(tensor.shape) for tensor in layer.tensors)


def _moves_of(
    layer: StoredLayer, kind: str, module: str, grid: tuple[int, int] | None, wrong: list[str]
) -> list[Move]:
    parts = PARTS[kind]
    if len(layer.tensors) > len(parts):
        wrong.append(
            f"layer {layer.name!r} holds {len(layer.tensors)} arrays, a {kind} layer at most {len(parts)}"
        )
        return []
    moves = []
    for tensor, (name, own) in zip(layer.tensors, parts, strict=False):
        order = (1, 0) if kind == "dense" and name == "kernel" else ORDER.get(name, (0,))
        if not tensor.name.isdigit() and tensor.name != name:
            wrong.append(f"array {tensor.path!r} stands where {name!r} is expected")
        elif len(tensor.shape) != len(order):
            wrong.append(f"array {tensor.path!r} of shape {tensor.shape} has not {len(order)} axes")
        else:
            flat = grid if name == "kernel" else None
            moves.append(Move(source=tensor, target=f"{module}.{own}", order=order, grid=flat))
    return moves


def _summed(move: Move, shapes: Shapes) -> Move:
    wanted = shapes.get(move.target, ())
    if len(wanted) == 4 and wanted[1] == 1 and move.shape[1] == 3:
        return Move(source=move.source, target=move.target, order=move.order, summed=True)
    return move


def _differences(moves: Sequence[Move], shapes: Shapes) -> list[str]:
    wrong = []
    for move in moves:
        wanted = shapes.get(move.target)
        if wanted is None:
            wrong.append(f"array {move.source.path!r} {move.source.shape} has no place in the network")
        elif wanted != move.shape:
            wrong.append(
                f"array {move.source.path!r} of shape {move.source.shape} would become {move.shape}, but "
                f"{move.target} is {wanted}"
            )
    counts = Counter(move.target for move in moves)
    wrong += [f"{name} would be filled {count} times" for name, count in counts.items() if count > 1]
    missing = [name for name in shapes if name not in counts]
    if missing:
        values = sum(math.prod(shapes[name]) for name in missing)
        wrong.append(
            f"{len(missing)} tensors ({values} values) are not in the file, the first {missing[0]} "
            f"{shapes[missing[0]]}"
        )
    return wrong


def filled(file: KerasFile, moves: Sequence[Move]) -> dict[str, Tensor]:
    """Read all arrays of a plan; {name in the network's state: tensor}."""
    return {move.target: move.moved(file.read(move.source)) for move in moves}
