"""A bundle on data sets: figures a set, and the source probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from node.domain.input_spec import InputSpec
from trainer.feed.images import HOUNSFIELD
from trainer.judge.metrics import auc, auc_interval
from trainer.judge.pictures import draw_sets
from trainer.judge.report import set_report
from trainer.judge.runner import read_bundle
from trainer.judge.scored import Scored, score_sets

__all__ = ["Scored", "SourceProbe", "evaluate", "report_on", "score_sets", "source_probe"]

PROBE_LIMITS: Final = (0.30, 0.70)
"""Outside of these the score tells DICOM from pictures better than a score of disease may."""


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


def report_on(
    sets: Sequence[Scored], spec: InputSpec, trained_on: str | None, *, patients: bool = False
) -> dict[str, Any]:
    """Return the figures of each set and the source probe as plain values.

    A DICOM set gets slices and share of positive slices a series instead of accuracy: its label is not
    known to the trainer, only that it serves as a negative for the probe.

    Parameters
    ----------
    sets : sequence of Scored
    spec : InputSpec
    trained_on : str or None
        Kind of the data set that the network was trained on.
    patients : bool
        Judge series and patients by the node's rule too, where a set has whole series.
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
        "sets": [set_report(one, spec, trained_on, patients=patients) for one in sets],
        "source_probe": None if probe is None else asdict(probe),
    }


def evaluate(
    bundle: Path,
    arguments: Sequence[str],
    precision: str,
    everything: bool,
    *,
    patients: bool = False,
    plots: Path | None = None,
) -> dict[str, Any]:
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
    patients : bool
        Judge series and patients by the node's rule too.
    plots : Path, optional
        Folder for curves, confusion matrices and reliability diagrams; made where it is not there.

    Raises
    ------
    BundleError, DataError
    """
    read = read_bundle(bundle)
    sets = score_sets(read.model, read.spec, precision, arguments, everything)
    report = report_on(sets, read.spec, read.trained_on, patients=patients)
    if plots is not None:
        report["plots"] = [file.name for file in draw_sets(sets, read.spec, plots)]
    return report
