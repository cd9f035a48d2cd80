"""Model folders of the papers' networks and of the default one, with random weights: for measuring speed.

What they answer means nothing. The scores are divided by their own spread, so that probabilities are neither
all 0 nor all 1; every slice counts as positive, so that as many heatmaps are made as the settings allow.
bf16 and int8 are recorded as allowed, which no export of random weights would do.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from node.domain.input_spec import InputSpec
from node.imaging.prepare import prepare_stored
from trainer.export.config import config_text
from trainer.export.golden import Golden
from trainer.export.golden_slices import golden_slices
from trainer.export.graph import ServedNet
from trainer.export.onnx_file import onnx_model
from trainer.export.quantised import Quantised, quantised
from trainer.feed.specification import UNCHOSEN, specification
from trainer.fit.recipe import read_recipe
from trainer.judge.runner import OpenVinoNet
from trainer.nets.catalogue import build_net

RECIPES: Final = Path(__file__).parents[1] / "trainer" / "recipes"
WIDE: Final = {"f32": 1e-3, "bf16": 1.0, "int8": 1.0}
"""Golden tolerances: rounding says nothing about networks that were never fitted."""
EVERY_SLICE: Final = (dataclasses.replace(UNCHOSEN[0], slice_threshold=0.0, chosen_on="nothing"),)
SEED: Final = 3


@dataclass(frozen=True, kw_only=True)
class Net:
    """One network as a recipe describes it."""

    name: str
    """In the catalogue; the bundle's name too."""
    recipe: str


NETS: Final = (
    Net(name="resnet50v2", recipe="ctset-paper"),
    Net(name="xception", recipe="ctset-paper"),
    Net(name="resnet50v2-fpn", recipe="ctset-paper"),
    Net(name="deep-ct-net", recipe="deep-ct-net"),
    Net(name="deep-cxr-net", recipe="deep-cxr-net-part3"),
    Net(name="efficientnet-lite0", recipe="default"),
)
"""Those of Rahimzadeh et al. 2021, of Deep-CT-Net and Deep-CXR-Net, and the default one."""


def specification_of(net: Net, side: int | None = None) -> InputSpec:
    """Return a network's input specification, all of whose slices are positive.

    Parameters
    ----------
    net : Net
    side : int, optional
        Rows and columns instead of the network's own.
    """
    parts: dict[str, Any] = dict(read_recipe(RECIPES / f"{net.recipe}.toml").specification)
    if side is not None:
        parts["input"] = dict(parts["input"]) | {"size": [side, side]}
    return specification(parts, name=net.name, version=1, status="untrained", points=EVERY_SLICE)


def served(net: Net, spec: InputSpec) -> ServedNet:
    """Return a network with random weights, the same ones each time, ready to export.

    Its batch norms know the phantom's images, so that values neither vanish nor grow from layer to layer.
    """
    torch.manual_seed(SEED)
    member: nn.Module = build_net(
        net.name, spec.input.channels, len(spec.outputs.classes), 0.0, None, size=spec.input.size
    )
    images = torch.from_numpy(_prepared(spec))
    for layer in member.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    positive = spec.outputs.positive_index
    with torch.no_grad():
        member.train()(images)
        plain = ServedNet([member.eval()], positive)
        scores = plain.scores(plain.features(images))
    others = torch.cat([scores[:, :positive], scores[:, positive + 1 :]], dim=1)
    spread = float((scores[:, positive] - torch.logsumexp(others, 1)).abs().max())
    return ServedNet([member], positive, temperature=spread)


def operations(net: Net, spec: InputSpec) -> int:
    """Return the additions and multiplications that one image takes."""
    made, images = served(net, spec), torch.zeros(1, spec.input.channels, *spec.input.size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        made(images)
    return int(counter.get_total_flops())


def write_bundle(folder: Path, net: Net, *, side: int | None = None, calibrate: int = 0) -> Path:
    """Write a network's model folder under a folder, unless it is there, and return it.

    Parameters
    ----------
    folder : Path
    net : Net
    side : int, optional
        Rows and columns of the input instead of the network's own.
    calibrate : int
        Slices of the phantom from which the ranges of an int8 network are taken; 0 makes none.
    """
    out = folder / net.name
    if (out / "LICENSE").exists():
        return out
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is not there
    spec = specification_of(net, side)
    model = onnx_model(served(net, spec), spec)
    slices = golden_slices(OpenVinoNet(model, spec, "f32"), spec)
    prepared = np.stack([prepare_stored(v, spec).tensor for v in slices])
    golden = Golden(
        slices=slices,
        prepared=prepared,
        answer=OpenVinoNet(model, spec, "f32")(prepared),
        tolerances=WIDE if calibrate else {name: WIDE[name] for name in ("f32", "bf16")},
    )
    int8 = (
        quantised(model, list(np.resize(prepared, (calibrate, 1, *prepared.shape[1:]))))
        if calibrate
        else None
    )
    (out / "1").mkdir(parents=True)
    for name, content in _files(spec, model, golden, int8).items():
        (out / name).write_bytes(content)
    return out


def _files(spec: InputSpec, model: bytes, golden: Golden, int8: Quantised | None) -> dict[str, bytes]:
    text = spec.to_json().encode()
    parameters = {
        "spec_sha256": hashlib.sha256(text).hexdigest(),
        "onnx_sha256": hashlib.sha256(model).hexdigest(),
        "status": spec.model.status.value,
        "trained_on": "nothing",
        "precisions": ", ".join(golden.tolerances),
        "source_probe": "",
    }
    files = {"1/model.onnx": model, "1/golden.npz": golden.content()}
    if int8 is not None:
        parameters["int8_sha256"] = int8.sha256
        files |= {"1/int8.xml": int8.xml, "1/int8.bin": int8.weights}
    grid = golden.answer[1].shape[1:]
    return files | {
        "config.pbtxt": config_text(spec, (int(grid[0]), int(grid[1])), parameters).encode(),
        "input_spec.json": text,
        "CARD.md": b"# Random weights, for measuring speed\n",
        "LICENSE": b"No terms: random numbers.\n",
    }


def _prepared(spec: InputSpec) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return three golden images as the network takes them; which ones they are is of no matter here."""

    def any_map(images: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        return np.zeros((len(images), 1)), np.zeros((len(images), 1, 1))

    return np.stack([prepare_stored(v, spec).tensor for v in golden_slices(any_map, spec)])
