"""Writing a bundle: the whole folder, or nothing."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from node.domain.input_spec import InputSpec
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import hu_to_stored, prepare_slice
from trainer.errors import BundleError
from trainer.export.card import CardFacts, card_text, licence_text
from trainer.export.config import config_text
from trainer.export.golden import Golden, RoundTrip, golden_and_round_trip
from trainer.export.graph import ServedNet
from trainer.export.onnx_file import halved, onnx_model
from trainer.fit.finished import read_run
from trainer.judge.evaluate import Scored, SourceProbe, report_on, score_sets, source_probe
from trainer.nets.catalogue import NETS

LARGEST_BUNDLE: Final = 45_000_000
"""Bytes of the whole folder."""
PHANTOM: Final = ThoraxPhantom(seed=7, slices=40, rows=256, patches=8)
CANDIDATES: Final = range(10, 30)
"""Slices of the phantom through the lungs."""
GOLDEN_SLICES: Final = 3


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export made."""

    folder: Path
    size: int
    """Bytes of the folder."""
    precisions: tuple[str, ...]
    """At which no decision changed."""
    round_trip: RoundTrip
    report: dict[str, Any] | None
    """Figures on the data sets given; None without any."""


def export_bundle(
    run: Path, out: Path, *, version: int, status: str, on: Sequence[str], notes: str = ""
) -> Exported:
    """Export a finished run as a model folder.

    Parameters
    ----------
    run : Path
        The run's folder.
    out : Path
        The model's folder; its name becomes the model's. An older folder is replaced as a whole.
    version : int
        Of the weights.
    status : str
        ``untrained`` or ``demonstration``.
    on : sequence of str
        ``KIND:PATH`` of data sets whose held-out figures go into the card, and on whose pictures decisions
        are compared between precisions.
    notes : str
        Markdown for the end of the card.

    Raises
    ------
    RoundTripError
        torch, ONNX and OpenVINO disagree.
    BundleError
        The folder would be too large, or cannot be written.
    CheckpointError, DataError
    """
    finished = read_run(run)
    spec = finished.specification(out.name, version, status)
    net = ServedNet(finished.members, spec.outputs.positive_index)
    whole = onnx_model(net, spec)
    truth = score_sets(whole, spec, "f32", on, everything=False)
    stored, weights = _stored(whole, spec, truth, on)
    golden, trip = golden_and_round_trip(net, whole, stored, golden_slices(net, spec), spec)
    sets = score_sets(stored, spec, "f32", on, everything=False)
    precisions = _precisions(golden, truth, stored, spec, on)
    report = report_on(sets, spec, finished.record["source"]) if sets else None
    facts = CardFacts(
        spec=spec,
        net=NETS[finished.recipe.net].title,
        members=len(finished.members),
        recipe=finished.recipe,
        run=finished.record,
        result=finished.result,
        report=report,
        round_trip=trip,
        precisions=precisions,
        weights=weights,
        notes=notes,
    )
    files = _files(facts, stored, golden, source_probe(sets, finished.record["source"]))
    _write(out, files)
    return Exported(
        folder=out, size=sum(map(len, files.values())), precisions=precisions, round_trip=trip, report=report
    )


def _files(facts: CardFacts, stored: bytes, golden: Golden, probe: SourceProbe | None) -> dict[str, bytes]:
    """Return the content of every file of the folder by its relative path."""
    text = facts.spec.to_json().encode()
    model = facts.spec.model
    parameters = {
        "spec_sha256": hashlib.sha256(text).hexdigest(),
        "onnx_sha256": hashlib.sha256(stored).hexdigest(),
        "status": str(model.status),
        "trained_on": facts.run["source"],
        "precisions": ", ".join(facts.precisions),
        "source_probe": probe.sentence if probe else "",
    }
    return {
        "config.pbtxt": config_text(facts.spec, _grid(golden), parameters).encode(),
        "input_spec.json": text,
        "CARD.md": card_text(facts).encode(),
        "LICENSE": licence_text(facts).encode(),
        f"{model.version}/model.onnx": stored,
        f"{model.version}/golden.npz": golden.content(),
    }


def _precisions(
    golden: Golden, truth: Sequence[Scored], stored: bytes, spec: InputSpec, on: Sequence[str]
) -> tuple[str, ...]:
    """Return the precisions at which no decision on the data sets changed; without data f32 alone."""
    if not truth or "bf16" not in golden.tolerances:
        return ("f32",)
    rounded = score_sets(stored, spec, "bf16", on, everything=False)
    return ("f32", "bf16") if _same_decisions(truth, rounded, spec) else ("f32",)


def golden_slices(net: ServedNet, spec: InputSpec) -> NDArray[np.uint16]:
    """Return the phantom slices with the strongest maps, uint16 [slices, rows, columns], HU + 1024.

    A map that is nearly nothing everywhere changes its shape by rounding alone; compared over its maximum, it
    would raise false alarms.
    """
    candidates = [hu_to_stored(PHANTOM.slice_at(index).hu) for index in CANDIDATES]
    images = torch.from_numpy(np.stack([prepare_slice(v, spec).tensor for v in candidates]))
    with torch.no_grad():
        peaks = net(images)[1].amax(dim=(1, 2)).numpy()
    chosen = sorted(np.argsort(-peaks, kind="stable")[:GOLDEN_SLICES])
    return np.stack([candidates[index] for index in chosen])


def _grid(golden: Golden) -> tuple[int, int]:
    rows, columns = golden.answer[1].shape[1:]
    return int(rows), int(columns)


def _stored(whole: bytes, spec: InputSpec, truth: Sequence[Scored], on: Sequence[str]) -> tuple[bytes, str]:
    """Return the file to serve: weights in float16 where no decision changes by it, else in float32."""
    half = halved(whole)
    if _same_decisions(truth, score_sets(half, spec, "f32", on, everything=False), spec):
        return half, "float16"
    return whole, "float32"


def _same_decisions(one: Sequence[Scored], other: Sequence[Scored], spec: InputSpec) -> bool:
    """Return whether every score falls on the same side of the slice threshold."""
    threshold = spec.operating_point.slice_threshold
    return all(
        np.array_equal(mine.scores >= threshold, theirs.scores >= threshold)
        for mine, theirs in zip(one, other, strict=True)
    )


def _write(out: Path, files: dict[str, bytes]) -> None:
    size = sum(map(len, files.values()))
    if size > LARGEST_BUNDLE:
        raise BundleError(
            f"the bundle would have {size} bytes, more than {LARGEST_BUNDLE}; use fewer folds or seeds"
        )
    temporary, former = out.with_name(f".{out.name}.part"), out.with_name(f".{out.name}.former")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        for name, content in files.items():
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        if out.exists():
            out.rename(former)
        temporary.rename(out)
        shutil.rmtree(former, ignore_errors=True)
    except OSError as error:
        raise BundleError(
            f"{out} could not be written ({error}); make room, or remove what stands there"
        ) from error


def as_json(exported: Exported) -> dict[str, Any]:
    """Return an export's outcome as plain values."""
    return asdict(exported) | {"folder": str(exported.folder)}
