"""Importing a fitted network: from an author's Keras file to one file of this project."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from trainer.errors import CheckpointError, WeightsError
from trainer.fit.checkpoint import load_checkpoint, save_checkpoint, sha256_of
from trainer.imports.keras_file import StoredLayer, keras_file
from trainer.imports.mapping import Dense, dense_layers, filled, plan_moves
from trainer.imports.names import family_of, place_of
from trainer.nets import resnet50v2_fpn, xception
from trainer.nets.catalogue import build_net

IMPORTABLE: Final = ("resnet50v2-fpn", "resnet50v2", "xception")
FORMAT: Final = "groundglass-imported-1"
CHANNELS: Final = 1
CLASSES: Final = ("covid", "non-covid")
"""The authors' classes in alphabetical order, covid and normal: unit 0 is COVID-19."""
MAPS: Final = 2048
"""Channels of the last maps of both backbones."""
SIDES: Final = range(96, 2049, 32)
"""Among which the input's side is looked for."""
USUAL_SIDE: Final = 512
"""Of a pooled head, which does not tell it (Rahimzadeh et al. 2021, section 2.4: never resized)."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """One imported network and where it came from."""

    net: str
    """Name in the catalogue; ``-pooled`` where the file has a pooled head."""
    side: int
    """Rows and columns of the images."""
    tensors: int
    """Arrays of the file; all of them were used."""
    parameters: int
    """Values, batch-norm statistics included."""
    source: str
    """Name of the Keras file."""
    sha256: str
    """Of the Keras file."""


def import_keras(file: Path, net: str, out: Path, side: int | None = None) -> Imported:
    """Import a fitted network of Rahimzadeh et al. 2021 from its Keras file.

    Parameters
    ----------
    file : Path
        ``.h5`` or ``.hdf5``, whole model or weights alone.
    net : str
        One of ``IMPORTABLE``.
    out : Path
        File to write: a state dictionary with the network's name and size, read by ``load_imported``.
    side : int or None
        Rows and columns of the images, where the head is pooled and does not tell; 512 if None.

    Raises
    ------
    WeightsError
        The file is no such network; the message says which array differs and how.
    CheckpointError
        ``out`` cannot be written.
    """
    if net not in IMPORTABLE:
        raise WeightsError(f"net {net!r} cannot be imported; --net is one of {', '.join(IMPORTABLE)}")
    with keras_file(file) as stored:
        family = family_of(stored.layers)
        if family != net:
            raise WeightsError(f"{file.name} holds {family}, not {net}; give the --net that it holds")
        name, found = _head_of(net, stored.layers)
        if found is not None and side is not None and side != found:
            raise WeightsError(f"{file.name} is for images of {found} pixels, not {side}; leave --side out")
        size = found or side or USUAL_SIDE
        with torch.device("meta"):
            built = build_net(name, CHANNELS, len(CLASSES), 0.5, None, size=(size, size))
        shapes = {
            key: tuple(value.shape)
            for key, value in built.state_dict().items()
            if not key.endswith("num_batches_tracked")
        }
        moves = plan_moves(stored.layers, shapes, place_of(family), _dense_of(name, size))
        state = filled(stored, moves)
    imported = Imported(
        net=name,
        side=size,
        tensors=len(moves),
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        source=file.name,
        sha256=sha256_of(file),
    )
    save_checkpoint(out, {"format": FORMAT, "imported": vars(imported), "state": state})
    return imported


def _head_of(net: str, layers: Sequence[StoredLayer]) -> tuple[str, int | None]:
    """Return the network's name in the catalogue and its input side, as the dense layers' widths tell."""
    widths = [layer.tensors[0].shape[0] for layer in dense_layers(layers)]
    if net != "resnet50v2-fpn" and widths == [MAPS]:
        return f"{net}-pooled", None
    fitting = [side for side in SIDES if sorted(one.width for one in _dense_of(net, side)) == sorted(widths)]
    if not fitting:
        raise WeightsError(
            f"dense layers over {', '.join(map(str, widths)) or 'nothing'} values fit {net} at no square "
            f"size from {SIDES[0]} to {SIDES[-1]}; at {USUAL_SIDE} x {USUAL_SIDE} they are over "
            f"{', '.join(str(one.width) for one in _dense_of(net, USUAL_SIDE))}"
        )
    return net, fitting[0]


def _dense_of(name: str, side: int) -> tuple[Dense, ...]:
    """Return the dense layers of a network for images of ``side`` pixels, in the order of their creation."""
    if name.endswith("-pooled"):
        return (Dense(module="head", width=MAPS, grid=None),)
    if name != "resnet50v2-fpn":
        cells = xception.grid_side(side) if name == "xception" else side // 32
        return (Dense(module="head", width=cells * cells * MAPS, grid=(cells, cells)),)
    levels = resnet50v2_fpn.level_sides(side // 32)
    heads = tuple(
        Dense(module=f"heads.{index}", width=cells * cells * resnet50v2_fpn.WIDTH, grid=(cells, cells))
        for index, cells in enumerate(levels)
    )
    return (*heads, Dense(module="head", width=len(levels) * len(CLASSES), grid=None))


def load_imported(file: Path) -> tuple[nn.Module, Imported]:
    """Load what ``import_keras`` wrote, in evaluation mode.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or was not written by ``import_keras``.
    """
    content = load_checkpoint(file)
    facts: Any = content.get("imported")
    if content.get("format") != FORMAT or not isinstance(facts, Mapping):
        raise CheckpointError(f"{file} was not written by import-keras; import the Keras file again")
    try:
        imported = Imported(**facts)
        with torch.device("meta"):
            net = build_net(
                imported.net, CHANNELS, len(CLASSES), 0.5, None, size=(imported.side, imported.side)
            )
        counters = {
            key: torch.zeros((), dtype=torch.long)
            for key in net.state_dict()
            if key.endswith("num_batches_tracked")
        }
        net.load_state_dict({**content["state"], **counters}, assign=True)
    except (TypeError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{file} is damaged ({error}); import the Keras file again") from error
    return net.eval(), imported
