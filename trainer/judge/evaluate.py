"""A bundle on data sets: figures a set, and the source probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from node.domain.input_spec import InputSpec
from trainer.cases.case import GROUPED_BY, Case
from trainer.cases.readers import held_out, read_cases
from trainer.errors import EmptyClass
from trainer.feed.images import HOUNSFIELD, open_lung_cases, prepared_image
from trainer.feed.slices import open_lung_tensors
from trainer.judge.metrics import auc, auc_interval, figures
from trainer.judge.runner import OpenVinoNet, read_bundle

PROBE_LIMITS: Final = (0.30, 0.70)
"""Outside of these the score tells DICOM from pictures better than a score of disease may."""
CHUNK: Final = 64


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One data set with its scores."""

    argument: str
    """``KIND:PATH`` as given."""
    kind: str
    """Source of the cases (`Case.source`)."""
    cases: tuple[Case, ...]
    scores: NDArray[np.float32]
    """Shape (cases,): probability of the positive class."""


@dataclass(frozen=True, kw_only=True)
class SourceProbe:
    """Whether the score tells DICOM slices from pictures among images that are not COVID-19.

    Against the kind of pictures that a network was trained on, the probe sees the source. Against other
    kinds it sees source and disease together: pictures cut from papers show other pneumonias and tumours,
    and most selected slices of a series are clear. So the verdict rests on the training kind where given.
    """

    auc: float
    """Share of (DICOM slice, picture) pairs in which the DICOM slice has the higher score; 0.5 is ideal."""
    interval: tuple[float, float]
    """95 %, bootstrap over series and groups of pictures: few patients make it wide."""
    against: tuple[str, ...]
    """Kinds whose pictures ``auc`` rests on: the one trained on if it was given, else all."""
    dicom_slices: int
    pictures: int
    """Negative pictures of ``against``."""
    by_kind: dict[str, float]
    """The same against the negative pictures of each kind alone."""
    usable_on_dicom: bool
    """Whether ``auc`` lies within the limits."""

    @property
    def sentence(self) -> str:
        """What has to be said against the model, empty when nothing."""
        if self.usable_on_dicom:
            return ""
        return (
            f"Not usable on DICOM CT: the score alone tells DICOM slices from pictures with AUC "
            f"{self.auc:.2f} among images that are not COVID-19."
        )


def score_sets(
    model: bytes, spec: InputSpec, precision: str, arguments: Sequence[str], everything: bool
) -> list[Scored]:
    """Score data sets with an ONNX network in OpenVINO.

    Parameters
    ----------
    model : bytes
        The ONNX file.
    spec : InputSpec
    precision : str
        ``f32`` or ``bf16``.
    arguments : sequence of str
        ``KIND:PATH`` each.
    everything : bool
        Score training parts too, instead of held-out parts only.

    Raises
    ------
    DataError
        A set cannot be read, or holds nothing outside its training part.
    """
    net = OpenVinoNet(model, spec, precision)
    return [_score_set(net, spec, argument, everything) for argument in arguments]


def _score_set(net: OpenVinoNet, spec: InputSpec, argument: str, everything: bool) -> Scored:
    cases = read_cases(argument)
    kind = cases[0].source
    cases = cases if everything else held_out(cases)
    if not cases:
        raise EmptyClass(f"{argument} holds nothing outside its training part; score it with --everything")
    column = spec.outputs.positive_index
    if kind == "dicom":
        cases, tensors = open_lung_tensors(cases, spec)
        scores = net(tensors)[0][:, column]
    else:
        cases, parts = open_lung_cases(cases, spec), []
        for start in range(0, len(cases), CHUNK):
            tensors = np.stack([prepared_image(case, spec) for case in cases[start : start + CHUNK]])
            parts.append(net(tensors)[0][:, column])
        scores = np.concatenate(parts)
    return Scored(argument=argument, kind=kind, cases=tuple(cases), scores=scores)


def source_probe(sets: Sequence[Scored], trained_on: str | None) -> SourceProbe | None:
    """Return the source probe; None without both DICOM slices and negative pictures.

    Parameters
    ----------
    sets : sequence of Scored
    trained_on : str or None
        Kind of the pictures that the network was trained on.
    """
    dicom = [one.scores for one in sets if one.kind == "dicom"]
    negatives: dict[str, list[NDArray[np.float32]]] = {}
    for one in sets:
        negative = one.scores[[not case.positive for case in one.cases]]
        if one.kind not in HOUNSFIELD and len(negative):
            negatives.setdefault(one.kind, []).append(negative)
    if not dicom or not negatives:
        return None
    slices = np.concatenate(dicom)
    by_kind = {kind: np.concatenate(scores) for kind, scores in negatives.items()}
    against = (trained_on,) if trained_on is not None and trained_on in by_kind else tuple(by_kind)
    pictures = np.concatenate([by_kind[kind] for kind in against])
    area = _source_auc(slices, pictures)
    return SourceProbe(
        auc=area,
        interval=_source_interval(sets, against),
        against=against,
        dicom_slices=len(slices),
        pictures=len(pictures),
        by_kind={kind: _source_auc(slices, scores) for kind, scores in by_kind.items()},
        usable_on_dicom=PROBE_LIMITS[0] <= area <= PROBE_LIMITS[1],
    )


def _source_interval(sets: Sequence[Scored], against: Sequence[str]) -> tuple[float, float]:
    chosen = [
        (score, one.kind == "dicom", f"{one.kind}/{case.group}")
        for one in sets
        if one.kind in ("dicom", *against)
        for score, case in zip(one.scores, one.cases, strict=True)
        if not case.positive
    ]
    scores, dicom, groups = zip(*chosen, strict=True)
    return auc_interval(np.array(scores), np.array(dicom), groups)


def _source_auc(slices: NDArray[np.float32], pictures: NDArray[np.float32]) -> float:
    return auc(np.concatenate([slices, pictures]), np.arange(len(slices) + len(pictures)) < len(slices))


def report_on(sets: Sequence[Scored], spec: InputSpec, trained_on: str | None) -> dict[str, Any]:
    """Return the figures of each set and the source probe as plain values.

    A DICOM set gets slices and share of positive slices a series instead of accuracy: its label is not
    known to the trainer, only that it serves as a negative for the probe.
    """
    point = spec.operating_point
    probe = source_probe(sets, trained_on)
    return {
        "model": {"name": spec.model.name, "version": spec.model.version, "status": spec.model.status.value},
        "operating_point": {
            "name": point.name,
            "slice_threshold": point.slice_threshold,
            "share": float(point.share),
            "chosen_on": point.chosen_on,
            "validated": point.validated,
        },
        "sets": [_set_report(one, point.slice_threshold) for one in sets],
        "source_probe": None if probe is None else asdict(probe),
    }


def _set_report(one: Scored, threshold: float) -> dict[str, Any]:
    report: dict[str, Any] = {"on": one.argument, "kind": one.kind, "grouped_by": GROUPED_BY[one.kind]}
    if one.kind == "dicom":
        series = sorted({case.group for case in one.cases})
        return report | {"series": [_series_report(one, uid, threshold) for uid in series]}
    groups = [case.group for case in one.cases]
    positive = np.array([case.positive for case in one.cases])
    return report | figures(one.scores, positive, groups, threshold).as_json()


def _series_report(one: Scored, uid: str, threshold: float) -> dict[str, Any]:
    scores = one.scores[[case.group == uid for case in one.cases]]
    return {
        "series_instance_uid": uid,
        "selected": len(scores),
        "positive": int((scores >= threshold).sum()),
        "share": float((scores >= threshold).mean()),
        "median_score": float(np.median(scores)),
    }


def evaluate(bundle: Path, arguments: Sequence[str], precision: str, everything: bool) -> dict[str, Any]:
    """Evaluate a bundle on data sets.

    Parameters
    ----------
    bundle : Path
        Its folder.
    arguments : sequence of str
        ``KIND:PATH`` each.
    precision : str
        ``f32`` or ``bf16``.
    everything : bool
        Training parts too.

    Raises
    ------
    BundleError, DataError
    """
    read = read_bundle(bundle)
    sets = score_sets(read.model, read.spec, precision, arguments, everything)
    return report_on(sets, read.spec, read.trained_on)
