"""Figures from counts: equations 1 to 5 of Rahimzadeh et al. 2021, and means over folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from trainer.judge.metrics import Counts
from trainer.tables.paper_rows import ImageRow, PatientRow


def share(part: float, whole: float) -> float | None:
    """Return a ratio, None over nothing."""
    return part / whole if whole else None


def f_measure(precision: float | None, recall: float | None) -> float | None:
    """Return the harmonic mean of precision and recall, None where one is unknown or both are 0."""
    if precision is None or recall is None:
        return None
    return share(2 * precision * recall, precision + recall)


def image_row(net: str, fold: int | None, counts: Counts) -> ImageRow:
    """Return a row of table 6; COVID-19 is the positive class of ``counts``.

    With two classes the accuracy of each is the overall one, and the specificity of one is the sensitivity of
    the other.
    """
    tp, fn = counts.true_positive, counts.false_negative
    tn, fp = counts.true_negative, counts.false_positive
    accuracy = share(tp + tn, tp + fn + tn + fp)
    covid, normal = share(tp, tp + fn), share(tn, tn + fp)
    return ImageRow(
        net=net,
        fold=fold,
        correct=tp + tn,
        wrong=fn + fp,
        covid_tp=tp,
        covid_fn=fn,
        covid_fp=fp,
        normal_tp=tn,
        normal_fn=fp,
        normal_fp=fn,
        accuracy=accuracy,
        covid_accuracy=accuracy,
        normal_accuracy=accuracy,
        covid_sensitivity=covid,
        normal_sensitivity=normal,
        covid_specificity=normal,
        normal_specificity=covid,
        covid_precision=share(tp, tp + fp),
        normal_precision=share(tn, tn + fn),
    )


def counts_of(row: ImageRow) -> Counts:
    """Return the four counts under a row of one fold."""
    return Counts(
        true_positive=int(row.covid_tp),
        false_negative=int(row.covid_fn),
        true_negative=int(row.normal_tp),
        false_positive=int(row.covid_fp),
    )


def mean_of(values: Sequence[float | None]) -> float | None:
    """Return the unweighted mean; None when a value is unknown or there is none."""
    known = [value for value in values if value is not None]
    return share(sum(known), len(known)) if len(known) == len(values) else None


def mean_image_row(rows: Sequence[ImageRow]) -> ImageRow:
    """Return the mean of each column over folds, of values that were not rounded before.

    Parameters
    ----------
    rows : sequence of ImageRow
        Of one network, one a fold; at least one.
    """
    means: dict[str, Any] = {
        field.name: mean_of([getattr(row, field.name) for row in rows])
        for field in fields(ImageRow)
        if field.name not in ("net", "fold")
    }
    return replace(rows[0], fold=None, **means)


def mean_patient_row(rows: Sequence[PatientRow]) -> PatientRow:
    """Return the mean of each column of table 4 over the folds of one network; at least one row."""
    names = [field.name for field in fields(PatientRow) if field.name not in ("net", "fold")]
    means = {name: sum(getattr(row, name) for row in rows) / len(rows) for name in names}
    return PatientRow(net=rows[0].net, fold=None, **means)
