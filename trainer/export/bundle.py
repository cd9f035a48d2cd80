"""Writing a bundle: the whole folder, or nothing."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from trainer.errors import BundleError
from trainer.export.card import CardFacts, card_text
from trainer.export.config import config_text
from trainer.export.golden import Files, Golden, RoundTrip, golden_and_round_trip, has_bf16
from trainer.export.golden_slices import golden_slices
from trainer.export.graph import ServedNet
from trainer.export.judged import Judgement, judged
from trainer.export.onnx_file import halved, onnx_model
from trainer.export.quantised import Quantised, calibration_pictures, quantised
from trainer.export.source import Source, Target, read_source
from trainer.export.terms import licence_text
from trainer.fit.finished import FinishedRun
from trainer.imports.importing import Imported
from trainer.judge.evaluate import Scored, SourceProbe, report_on, score_sets, source_probe
from trainer.judge.runner import OpenVinoNet

LARGEST_FOLDER: Final = 1_000_000_000
"""Bytes of a bundle; the largest network of the catalogue has a third of it in float32."""
HALF: Final = "float16"
WHOLE: Final = "float32"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What an export shall do besides writing the network."""

    on: Sequence[str] = ()
    """``KIND:PATH`` of data sets whose held-out figures go into the card, and on whose images decisions are
    compared between forms of the network."""
    weights: str | None = None
    """``float16`` or ``float32``; None: float16 where no decision changes by it."""
    calibrate_on: str | None = None
    """``KIND:PATH`` whose training part gives the ranges of an int8 network; None: none is made."""
    keep_int8: bool = False
    """Store the int8 network too, where its maps differ little enough; else it is only measured."""
    notes: str = ""
    """Markdown for the end of the card."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export made."""

    folder: Path
    size: int
    """Bytes of the folder."""
    precisions: tuple[str, ...]
    """At which no decision changed."""
    judgements: tuple[Judgement, ...]
    """What other weights and precisions do to decisions."""
    round_trip: RoundTrip
    report: dict[str, Any] | None
    """Figures on the data sets given; None without any."""


def export_bundle(
    path: Path, out: Path, *, version: int, status: str, selection: str | None, order: Order
) -> Exported:
    """Export a finished run, or an imported network, as a model folder.

    Parameters
    ----------
    path : Path
        The run's folder, or a file that ``import-keras`` wrote.
    out : Path
        The model's folder; its name becomes the model's. An older folder is replaced as a whole.
    version : int
        Of the weights.
    status : str
        ``untrained`` or ``demonstration``.
    selection : str or None
        Rule of slice selection of an imported network; None: ``in-body``.
    order : Order

    Raises
    ------
    RoundTripError
        torch, ONNX and OpenVINO disagree.
    BundleError
        The network cannot be served, or the folder would be too large or cannot be written.
    CheckpointError, DataError
    """
    if order.weights not in (None, HALF, WHOLE):
        raise BundleError(f"weights are stored as {HALF} or {WHOLE}, not {order.weights!r}")
    if order.keep_int8 and order.calibrate_on is None:
        raise BundleError("an int8 network needs pictures for its ranges; say --calibrate-on KIND:PATH")
    source = read_source(path, Target(name=out.name, version=version, status=status, selection=selection))
    net = ServedNet(source.members, source.spec.outputs.positive_index, source.temperature)
    made = _Made(source, onnx_model(net, source.spec), order)
    slices = golden_slices(OpenVinoNet(made.whole, source.spec, "f32"), source.spec)
    golden, trip = golden_and_round_trip(net, made.files, slices, source.spec)
    precisions = made.precisions(golden)
    report = report_on(made.sets, source.spec, source.trained_on) if made.sets else None
    facts = CardFacts(
        source=source,
        report=report,
        round_trip=trip,
        judgements=made.judgements,
        precisions=precisions,
        tolerances=golden.tolerances,
        weights=made.weights,
        notes=order.notes,
    )
    kept = made.files.int8 if order.keep_int8 and "int8" in golden.tolerances else None
    files = _files(facts, made.files.stored, golden, source_probe(made.sets, source.trained_on), kept)
    _write(out, files)
    return Exported(
        folder=out,
        size=sum(map(len, files.values())),
        precisions=precisions,
        judgements=tuple(made.judgements),
        round_trip=trip,
        report=report,
    )


class _Made:
    """The forms of one network, and what each does to decisions on the data sets given.

    Parameters
    ----------
    source : Source
    whole : bytes
        ONNX with float32 weights.
    order : Order
    """

    def __init__(self, source: Source, whole: bytes, order: Order) -> None:
        self._spec, self._order, self.whole = source.spec, order, whole
        self._truth = score_sets(whole, source.spec, "f32", order.on, everything=False)
        self.judgements: list[Judgement] = []
        self.weights, stored, self.sets = self._stored()
        self.files = Files(whole=whole, stored=stored, int8=self._quantised())

    def _stored(self) -> tuple[str, bytes, list[Scored]]:
        """Return the weights' type, the file to serve and its scores: float16 where no decision changes."""
        if self._order.weights == WHOLE:
            return WHOLE, self.whole, self._truth
        half = halved(self.whole)
        sets = score_sets(half, self._spec, "f32", self._order.on, everything=False)
        found = self._judge(HALF, sets)
        if found.changed and self._order.weights is None:
            return WHOLE, self.whole, self._truth
        return HALF, half, sets

    def _quantised(self) -> Quantised | None:
        if self._order.calibrate_on is None:
            return None
        return quantised(self.whole, calibration_pictures(self._order.calibrate_on, self._spec))

    def _judge(self, form: str, sets: Sequence[Scored]) -> Judgement:
        self.judgements.append(judged(form, self._truth, sets, self._spec))
        return self.judgements[-1]

    def precisions(self, golden: Golden) -> tuple[str, ...]:
        """Return the precisions at which no decision on the data sets changed; without data f32 alone."""
        found = ["f32"]
        if has_bf16():
            rounded = score_sets(self.files.stored, self._spec, "bf16", self._order.on, everything=False)
            if self._judge("bf16", rounded).unchanged and "bf16" in golden.tolerances:
                found.append("bf16")
        if (int8 := self.files.int8) is not None:
            sets = score_sets(
                int8.xml, self._spec, "f32", self._order.on, everything=False, weights=int8.weights
            )
            unchanged = self._judge("int8", sets).unchanged and "int8" in golden.tolerances
            if unchanged and self._order.keep_int8:
                found.append("int8")
        return tuple(found)


def _files(
    facts: CardFacts, stored: bytes, golden: Golden, probe: SourceProbe | None, int8: Quantised | None
) -> dict[str, bytes]:
    """Return the content of every file of the folder by its relative path."""
    text = facts.spec.to_json().encode()
    model = facts.spec.model
    parameters = {
        "spec_sha256": hashlib.sha256(text).hexdigest(),
        "onnx_sha256": hashlib.sha256(stored).hexdigest(),
        "status": str(model.status),
        "trained_on": facts.source.trained_on,
        "precisions": ", ".join(facts.precisions),
        "precisions_judged": "; ".join(one.sentence for one in facts.judgements),
        "source_probe": probe.sentence if probe else "",
    }
    files = {f"{model.version}/model.onnx": stored, f"{model.version}/golden.npz": golden.content()}
    if int8 is not None:
        parameters["int8_sha256"] = int8.sha256
        files |= {f"{model.version}/int8.xml": int8.xml, f"{model.version}/int8.bin": int8.weights}
    return files | {
        "config.pbtxt": config_text(facts.spec, _grid(golden), parameters).encode(),
        "input_spec.json": text,
        "CARD.md": card_text(facts).encode(),
        "LICENSE": _licence(facts.source).encode(),
    }


def _licence(source: Source) -> str:
    origin = source.origin
    return licence_text(
        source.spec,
        source.trained_on,
        published=isinstance(origin, Imported),
        parts=isinstance(origin, FinishedRun) and bool(origin.record.get("parts")),
    )


def _grid(golden: Golden) -> tuple[int, int]:
    rows, columns = golden.answer[1].shape[1:]
    return int(rows), int(columns)


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    """Replace the folder as a whole; on failure the former one stays."""
    size = sum(map(len, files.values()))
    if size > LARGEST_FOLDER:
        raise BundleError(
            f"the bundle would have {size} bytes, more than {LARGEST_FOLDER}; use fewer folds or seeds"
        )
    temporary, former = out.with_name(f".{out.name}.part"), out.with_name(f".{out.name}.former")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        for name, content in files.items():
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        if out.exists():
            shutil.rmtree(former, ignore_errors=True)
            out.rename(former)
        temporary.rename(out)
        shutil.rmtree(former, ignore_errors=True)
    except OSError as error:
        if former.exists() and not out.exists():
            former.rename(out)
        shutil.rmtree(temporary, ignore_errors=True)
        raise BundleError(
            f"{out} could not be written ({error}); make room, or remove what stands there"
        ) from error


def as_json(exported: Exported) -> dict[str, Any]:
    """Return an export's outcome as plain values."""
    return asdict(exported) | {"folder": str(exported.folder)}
