"""What can be recomputed of the papers' tables, and where the printed number is another one.

A printed number stands for every value that rounds to it. A cell is remarked upon when no such values fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Final

from trainer.tables.formulas import counts_of, f_measure, image_row, mean_image_row, mean_patient_row, share
from trainer.tables.paper_rows import FoldSizes, ImageRow, MethodRow, PartRow, PatientRow
from trainer.tables.sheet import Remark, shown

CTSET_DECIMALS: Final = 4
"""Of the rates in table 6 of Rahimzadeh et al. 2021."""
DECIMALS: Final = 3
"""Of the rates in tables 3 to 6 of Deep-CT-Net."""


def rounds_to(value: float | None, printed: float | None, decimals: int) -> bool:
    """Return whether a value, rounded either way at a half, is the printed one."""
    if value is None or printed is None:
        return value is None and printed is None
    half = 0.5 / 10**decimals
    return bool(abs(value - printed) <= half + 1e-9)


def image_remarks(rows: Sequence[ImageRow]) -> list[Remark]:
    """Compare table 6 with what follows from its counts; means are of values that were not rounded."""
    remarks: list[Remark] = []
    for number, row in enumerate(rows):
        if row.fold is None:
            own = [one for one in rows if one.net == row.net and one.fold is not None]
            wanted = mean_image_row([image_row(one.net, one.fold, counts_of(one)) for one in own])
        else:
            wanted = image_row(row.net, row.fold, counts_of(row))
        remarks += _differences(number, row, wanted, CTSET_DECIMALS)
    return remarks


def _differences(number: int, printed: ImageRow, wanted: ImageRow, decimals: int) -> Iterator[Remark]:
    for field in fields(ImageRow):
        if field.name in ("net", "fold"):
            continue
        value = getattr(wanted, field.name)
        if not rounds_to(value, getattr(printed, field.name), decimals):
            yield Remark(row=number, column=field.name, text=f"recomputes to {shown(value, decimals)}.")


def size_remarks(rows: Sequence[FoldSizes]) -> list[Remark]:
    """Remark on folds of table 2 whose two parts do not add up to what most folds add up to."""
    remarks = []
    for kind in ("covid_patients", "covid_images", "normal_patients", "normal_images"):
        sums = [getattr(row, f"train_{kind}") + getattr(row, f"validation_{kind}") for row in rows]
        usual = Counter(sums).most_common(1)[0][0]
        remarks += [
            Remark(
                row=number,
                column=f"validation_{kind}",
                text=f"with the training part {total}, {abs(usual - total)} "
                f"{'fewer' if total < usual else 'more'} than the {usual} of the other folds.",
            )
            for number, total in enumerate(sums)
            if total != usual
        ]
    return remarks


def patient_remarks(rows: Sequence[PatientRow], sizes: Sequence[FoldSizes]) -> list[Remark]:
    """Remark on rows of table 4 that do not add up, to their own sums or to table 2."""
    size = {row.fold: row for row in sizes}
    remarks = []
    for number, row in enumerate(rows):
        if row.fold is None:
            wanted = mean_patient_row([one for one in rows if one.net == row.net and one.fold is not None])
            pairs = [
                (field.name, getattr(wanted, field.name))
                for field in fields(PatientRow)
                if field.name not in ("net", "fold")
            ]
        else:
            held = size[row.fold]
            pairs = [
                ("correct", row.covid_correct + row.normal_correct),
                ("wrong", row.normal_called_covid + row.covid_called_normal),
                ("covid_correct", held.validation_covid_patients - row.covid_called_normal),
                ("normal_correct", held.validation_normal_patients - row.normal_called_covid),
            ]
        remarks += [
            Remark(row=number, column=name, text=f"recomputes to {shown(value)}.")
            for name, value in pairs
            if abs(value - getattr(row, name)) > 1e-6
        ]
    return remarks


def part_remarks(rows: Sequence[PartRow]) -> list[Remark]:
    """Remark on sums of table 2 of Deep-CT-Net that do not close; its last row is the total."""
    remarks = [
        Remark(row=number, column="total", text=f"its classes add up to {total}.")
        for number, row in enumerate(rows)
        if (total := row.covid + row.other_pneumonia + row.normal) != row.total
    ]
    *parts, last = rows
    return remarks + [
        Remark(row=len(parts), column=name, text=f"the parts add up to {total}.")
        for name in ("covid", "other_pneumonia", "normal", "total")
        if (total := sum(getattr(row, name) for row in parts)) != getattr(last, name)
    ]


def _bounds(printed: float) -> tuple[float, float]:
    half = 0.5 / 10**DECIMALS
    return printed - half, printed + half


def f_remarks(rows: Sequence[MethodRow]) -> list[Remark]:
    """Remark on F-measures that no precision and recall give which round to the printed ones."""
    remarks = []
    for number, row in enumerate(rows):
        if row.precision is None or row.recall is None or row.f_measure is None:
            continue
        lowest, highest = (
            f_measure(precision, recall)
            for precision, recall in zip(_bounds(row.precision), _bounds(row.recall), strict=True)
        )
        below, above = _bounds(row.f_measure)
        if (lowest or 0) > above + 1e-9 or (highest or 0) < below - 1e-9:
            value = f_measure(row.precision, row.recall)
            remarks.append(
                Remark(row=number, column="f_measure", text=f"recomputes to {shown(value, DECIMALS)}.")
            )
    return remarks


def _distance(row: MethodRow, positives: int, negatives: int) -> tuple[float, str]:
    """Return the smallest sum of differences beyond rounding, and the rates that have it, as text."""
    best = (float("inf"), "")
    for tp in range(positives + 1):
        recall = share(tp, positives)
        for fp in range(negatives + 1):
            precision = share(tp, tp + fp)
            rates = {
                "precision": precision,
                "recall": recall,
                "f_measure": f_measure(precision, recall),
                "accuracy": share(tp + negatives - fp, positives + negatives),
            }
            compared = {name: value for name, value in rates.items() if getattr(row, name) is not None}
            far = sum(_beyond_rounding(value, getattr(row, name)) for name, value in compared.items())
            if far < best[0]:
                text = ", ".join(f"{name} {shown(value, DECIMALS)}" for name, value in compared.items())
                best = (far, text)
    return best


def _beyond_rounding(value: float | None, printed: float) -> float:
    if value is None:
        return 1.0
    return 0.0 if rounds_to(value, printed, DECIMALS) else abs(value - printed)


def unreachable_remarks(rows: Sequence[MethodRow], covid: int, others: int) -> list[Remark]:
    """Remark on methods whose rates no decisions on a test set of known size give.

    Parameters
    ----------
    rows : sequence of MethodRow
    covid, others : int
        Images of each class.
    """
    remarks = []
    for number, row in enumerate(rows):
        far, nearest = _distance(row, covid, others)
        if far > 0:
            text = (
                f"no decisions on {covid} COVID-19 and {others} other images give the rates of this row "
                f"together; the nearest are {nearest}."
            )
            remarks.append(Remark(row=number, column="f_measure", text=text))
        if row.recall is not None and _k_of(row.recall, covid) is None:
            k = _k_of(row.recall, others)
            also = f"; it is {k} of the {others} others" if k is not None else ""
            remarks.append(Remark(row=number, column="recall", text=f"no number of {covid} is this{also}."))
    return remarks


def _k_of(printed: float, whole: int) -> int | None:
    k = round(printed * whole)
    return k if rounds_to(k / whole, printed, DECIMALS) else None
