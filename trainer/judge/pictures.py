"""The pictures of an evaluation: a set's own, and all sets in one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from node.domain.input_spec import InputSpec
from trainer.errors import DataError
from trainer.judge.calibration import reliability
from trainer.judge.plots import confusion_png, pr_png, reliability_png, roc_png
from trainer.judge.report import confusion_of, sample_of
from trainer.judge.sample import Sample
from trainer.judge.scored import Scored


def draw_sets(sets: Sequence[Scored], spec: InputSpec, folder: Path) -> list[Path]:
    """Draw ROC, precision-recall, confusion matrix and reliability of every labelled set.

    Parameters
    ----------
    sets : sequence of Scored
        Sets without labels are passed over; a set of one class gets no curves.
    spec : InputSpec
    folder : Path
        Made where it is not there; older pictures of the same names are replaced.

    Returns
    -------
    list of Path
        The files, in the order of the sets.

    Raises
    ------
    DataError
        A picture cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _draw(sets, spec, folder)
    except OSError as error:
        raise DataError(f"no picture can be written to {folder} ({error}); name another folder") from error


def _draw(sets: Sequence[Scored], spec: InputSpec, folder: Path) -> list[Path]:
    model, threshold = spec.model.name, spec.operating_point.slice_threshold
    files: list[Path] = []
    curves: list[Sample] = []
    for number, one in enumerate(sets, start=1):
        if one.kind == "dicom":
            continue
        sample = sample_of(one, threshold)
        stem, on = f"{number}-{one.kind}", f"{model} on {one.kind}"
        seen, groups = confusion_of(one, spec), len(set(one.groups))
        files += [folder / f"{stem}-confusion.png", folder / f"{stem}-reliability.png"]
        confusion_png(seen.counts, seen.labels, files[-2], f"Confusion: {on}", groups)
        bins = reliability(sample.scores, sample.positive)
        reliability_png({"scores as served": bins}, files[-1], f"Reliability: {on}", groups)
        if sample.positive.any() and not sample.positive.all():
            curves.append(sample)
            files += [folder / f"{stem}-roc.png", folder / f"{stem}-pr.png"]
            roc_png([sample], files[-2], f"ROC: {on}")
            pr_png([sample], files[-1], f"Precision and recall: {on}")
    if len(curves) > 1:
        files += [folder / "all-roc.png", folder / "all-pr.png"]
        roc_png(curves, files[-2], f"ROC: {model} on {len(curves)} sets")
        pr_png(curves, files[-1], f"Precision and recall: {model} on {len(curves)} sets")
    return files
