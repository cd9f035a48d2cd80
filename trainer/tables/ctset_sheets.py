"""Tables 2, 4, 5 and 6 of Rahimzadeh et al. 2021, and what was measured here beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from node.domain.result import OperatingPoint, Outcome
from trainer.tables.checks import CTSET_DECIMALS, image_remarks, patient_remarks, size_remarks
from trainer.tables.formulas import image_row, mean_image_row, mean_patient_row
from trainer.tables.paper_rows import FoldSizes, ImageRow, PatientRow, SecondsRow, paper_rows
from trainer.tables.points import POINTS
from trainer.tables.records import ImagesJudged, PatientsJudged, Records
from trainer.tables.sheet import Remark, Sheet, shown

PAPER: Final = "Rahimzadeh et al. 2021"
PRINTED, HERE = "printed", "measured here"
TEST_SELECTED: Final = (
    "Printed figures are test-selected: the paper tells of no third part, and the authors' code scores every "
    "saved epoch on the part that the table reports. Figures measured here come from one checkpoint, chosen "
    "without the part judged."
)
TILING: Final = (
    "Patients with COVID-19 (95) and their images (2282) are judged once each over the five folds; patients "
    "without are judged in several folds."
)
MEANS: Final = (
    "Means are of the folds' values before rounding (the printed ones too). An image is called COVID-19 from "
    "a probability of 0.5."
)
MISTAKEN: Final = (
    "Section 4 of the paper gives ResNet50V2 102 false positives and a precision of 81 %: these are the "
    "figures of ResNet50V2 with FPN."
)
HEADINGS: Final = (
    'The paper heads normal_called_covid "COVID Wrong Identified" and covid_called_normal "Normal Wrong '
    'Identified"; read so, every row adds up to table 2.'
)
TWO_RULES: Final = (
    "The paper calls a patient positive from 30 % of the selected slices, the code since July 2020 from 10. "
    "The README's figures are later than that, but it does not say which rule made them."
)
NO_PATIENTS: Final = "Nothing was measured here: crossval needs the raw series (--patients)."
PATIENTS_HERE: Final = (
    "Measured here on raw series, SR_2 where a patient has it, through the node's own selection and rule. "
    "Who is undetermined or has no raw series counts neither as correct nor as wrong; a negative answer is "
    "not given where the series begins or ends within the lungs. TIFF files tell no pixel spacing: 0.7 mm "
    "is assumed for the least area of lung."
)
TIMED: Final = (
    "The paper timed a Tesla P100 of Colab; here it is the machine that ran crossval. Both are from reading "
    "the first slice to the last answer; only selected slices go to the network, here read a second time."
)
PROMISED: Final = (
    "The paper's text promises 4 to 6 s for less than 100 slices; its table has 2.3 to 3.6 s for 35 to 65."
)
NETS: Final = {"resnet50v2-fpn": "ResNet50V2 with FPN", "xception": "Xception", "resnet50v2": "ResNet50V2"}
SECONDS_SHOWN: Final = 8
"""Patients of one network in table 5, as many as the paper shows."""


def net_title(net: str) -> str:
    """Return a network's name as the paper has it; others keep theirs."""
    return NETS.get(net, net)


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One row on its way into a sheet."""

    key: tuple[int, str]
    """Fold and network; means come last."""
    source: str
    row: Any
    remarks: tuple[Remark, ...] = ()


MEAN_FOLD: Final = 10**9


def _key(row: ImageRow | PatientRow) -> tuple[int, str]:
    return MEAN_FOLD if row.fold is None else row.fold, row.net


def _fold(number: int) -> str:
    return "mean" if number == MEAN_FOLD else str(number)


def _with_remarks(rows: Sequence[Any], remarks: Sequence[Remark], key: Callable[[Any], Any]) -> list[_Line]:
    return [
        _Line(
            key=key(row), source=PRINTED, row=row, remarks=tuple(one for one in remarks if one.row == number)
        )
        for number, row in enumerate(rows)
    ]


def _laid_out(
    lines: Sequence[_Line], columns: Sequence[str], cells: Callable[[_Line], tuple[str, ...]]
) -> tuple[tuple[tuple[str, ...], ...], tuple[Remark, ...]]:
    """Sort lines so that what was measured stands below what is printed, and move remarks along."""
    ordered = sorted(lines, key=lambda line: line.key)
    remarks = [
        Remark(row=number, column=remark.column, text=remark.text)
        for number, line in enumerate(ordered)
        for remark in line.remarks
        if remark.column in columns
    ]
    return tuple(map(cells, ordered)), tuple(remarks)


def sizes_sheet(records: Records) -> Sheet:
    """Return table 2."""
    printed = paper_rows(FoldSizes, "ctset_table2")
    lines = _with_remarks(printed, size_remarks(printed), lambda row: (row.fold, ""))
    own = {one.number: one for one in records.images}
    lines += [
        _Line(key=(number, ""), source=HERE, row=_own_sizes(number, one)) for number, one in own.items()
    ]
    names = [field.name for field in fields(FoldSizes)][1:]
    rows, remarks = _laid_out(
        lines,
        names,
        lambda line: (
            str(line.row.fold),
            line.source,
            *(shown(getattr(line.row, name)) for name in names),
        ),
    )
    divisions = sorted({one.division for one in own.values()})
    return Sheet(
        name="ctset-table-2",
        title=f"{PAPER}, table 2: patients and images of the folds",
        columns=("fold", "source", *names),
        rows=rows,
        remarks=remarks,
        notes=(
            TILING,
            *(f"The folds here: {division}." for division in divisions),
        ),
    )


def _own_sizes(number: int, one: ImagesJudged) -> FoldSizes:
    return FoldSizes(
        fold=number,
        train_covid_patients=one.learnt.covid_groups,
        train_covid_images=one.learnt.covid_images,
        train_normal_patients=one.learnt.other_groups,
        train_normal_images=one.learnt.other_images,
        validation_covid_patients=one.judged.covid_groups,
        validation_covid_images=one.judged.covid_images,
        validation_normal_patients=one.judged.other_groups,
        validation_normal_images=one.judged.other_images,
    )


def images_sheet(records: Records) -> Sheet:
    """Return table 6."""
    printed = paper_rows(ImageRow, "ctset_table6") + paper_rows(ImageRow, "ctset_table6_average")
    lines = _with_remarks(printed, image_remarks(printed), _key)
    own = own_image_rows(records)
    lines += [_Line(key=_key(row), source=HERE, row=row) for row in own]
    names = [field.name for field in fields(ImageRow) if field.name not in ("net", "fold")]
    split = names.index("accuracy")
    rows, remarks = _laid_out(
        lines,
        names,
        lambda line: (
            _fold(line.key[0]),
            net_title(line.row.net),
            line.source,
            *(shown(getattr(line.row, name)) for name in names[:split]),
            *(shown(getattr(line.row, name), CTSET_DECIMALS) for name in names[split:]),
        ),
    )
    return Sheet(
        name="ctset-table-6",
        title=f"{PAPER}, table 6: single images",
        columns=("fold", "network", "source", *names),
        rows=rows,
        remarks=remarks,
        notes=(
            TEST_SELECTED,
            MEANS,
            MISTAKEN,
            *_scored_parts(records),
        ),
    )


def _scored_parts(records: Records) -> list[str]:
    parts = sorted({(one.net, one.part) for one in records.images})
    folds = {net: ", ".join(str(one.number) for one in records.images if one.net == net) for net, _ in parts}
    return [f"Measured here: {net_title(net)}, part {part}, folds {folds[net]}." for net, part in parts]


def own_image_rows(records: Records) -> list[ImageRow]:
    """Return the rows of table 6 that were measured, and the mean of each network."""
    rows = [image_row(one.net, one.number, one.counts) for one in records.images]
    nets = dict.fromkeys(row.net for row in rows)
    return rows + [mean_image_row([row for row in rows if row.net == net]) for net in nets]


@dataclass(frozen=True, kw_only=True)
class _OwnPatients:
    """Patients of one fold at one operating point."""

    row: PatientRow
    covid_undetermined: float
    normal_undetermined: float


def patient_row(judged: PatientsJudged, point: OperatingPoint) -> tuple[PatientRow, float, float]:
    """Count the answers for a fold's patients at one operating point.

    Returns
    -------
    row : PatientRow
    covid_undetermined, normal_undetermined : float
        Patients for whom nothing is decided, or without a series: neither correct nor wrong.
    """
    answers = {(flag, outcome): 0 for flag in (True, False) for outcome in Outcome}
    for one in judged.patients:
        answers[one.positive, one.outcomes[point.name]] += 1
    covid, normal = answers[True, Outcome.POSITIVE], answers[False, Outcome.NEGATIVE]
    false, missed = answers[False, Outcome.POSITIVE], answers[True, Outcome.NEGATIVE]
    row = PatientRow(
        net=judged.net,
        fold=judged.number,
        correct=covid + normal,
        wrong=false + missed,
        covid_correct=covid,
        normal_called_covid=false,
        normal_correct=normal,
        covid_called_normal=missed,
    )
    open_ones = [
        sum(answers[flag, outcome] for outcome in (Outcome.UNDETERMINED, Outcome.NOT_ANALYSED))
        for flag in (True, False)
    ]
    return row, open_ones[0], open_ones[1]


def _own_patients(judged: Sequence[PatientsJudged], point: OperatingPoint) -> list[_OwnPatients]:
    own = [
        _OwnPatients(row=row, covid_undetermined=covid, normal_undetermined=normal)
        for row, covid, normal in (patient_row(one, point) for one in judged)
    ]
    means = []
    for net in dict.fromkeys(one.row.net for one in own):
        mine = [one for one in own if one.row.net == net]
        means.append(
            _OwnPatients(
                row=mean_patient_row([one.row for one in mine]),
                covid_undetermined=sum(one.covid_undetermined for one in mine) / len(mine),
                normal_undetermined=sum(one.normal_undetermined for one in mine) / len(mine),
            )
        )
    return own + means


def patients_sheet(records: Records) -> Sheet:
    """Return table 4, at both operating points."""
    folds = paper_rows(PatientRow, "ctset_table4") + paper_rows(PatientRow, "ctset_table4_average")
    remarks = patient_remarks(folds, paper_rows(FoldSizes, "ctset_table2"))
    lines = _with_remarks(folds, remarks, _key)
    lines += [
        _Line(key=_key(row), source=f"{PRINTED} in the README of the code", row=row)
        for row in paper_rows(PatientRow, "ctset_table4_readme")
    ]
    lines += [
        _Line(key=_key(one.row), source=f"{HERE}, {point.name}", row=one)
        for point in POINTS
        for one in _own_patients(records.patients, point)
    ]
    names = [field.name for field in fields(PatientRow) if field.name not in ("net", "fold")]
    extra = ("covid_undetermined", "normal_undetermined")
    rows, moved = _laid_out(
        lines,
        names,
        lambda line: (
            _fold(line.key[0]),
            net_title(line.key[1]),
            line.source,
            *(shown(getattr(getattr(line.row, "row", line.row), name)) for name in names),
            *(shown(getattr(line.row, name, None)) for name in extra),
        ),
    )
    return Sheet(
        name="ctset-table-4",
        title=f"{PAPER}, table 4: patients",
        columns=("fold", "network", "source", *names, *extra),
        rows=rows,
        remarks=moved,
        notes=(
            TEST_SELECTED,
            HEADINGS,
            TWO_RULES,
            PATIENTS_HERE if records.patients else NO_PATIENTS,
        ),
    )


def seconds_sheet(records: Records) -> Sheet:
    """Return table 5: the paper's eight patients, and patients here over the same range of ranks."""
    rows = [
        (
            PRINTED,
            net_title("resnet50v2-fpn"),
            str(row.slices),
            "-",
            f"{row.seconds:.4f}",
            _each(row.seconds, row.slices),
        )
        for row in paper_rows(SecondsRow, "ctset_table5")
    ]
    summaries = []
    for net in dict.fromkeys(one.net for one in records.patients):
        timed = sorted(
            (
                one
                for judged in records.patients
                if judged.net == net
                for one in judged.patients
                if one.slices
            ),
            key=lambda one: (one.slices, one.patient),
        )
        if not timed:
            continue
        ranks = np.unique(np.linspace(0, len(timed) - 1, SECONDS_SHOWN).round().astype(int))
        rows += [
            (
                HERE,
                net_title(net),
                str(one.slices),
                str(one.selected),
                f"{one.seconds:.4f}",
                _each(one.seconds, one.slices),
            )
            for one in (timed[rank] for rank in ranks)
        ]
        median = float(np.median([one.seconds for one in timed]))
        summaries.append(f"{net_title(net)}: {len(timed)} patients here, median {median:.3f} s.")
    return Sheet(
        name="ctset-table-5",
        title=f"{PAPER}, table 5: seconds for one patient",
        columns=("source", "network", "slices", "selected", "seconds", "ms a slice"),
        rows=tuple(rows),
        notes=(
            TIMED,
            PROMISED,
            *(summaries or [NO_PATIENTS]),
        ),
    )


def _each(seconds: float, slices: int) -> str:
    return f"{1000 * seconds / slices:.1f}"


def ctset_sheets(records: Records) -> tuple[Sheet, ...]:
    """Return tables 2, 4, 5 and 6, with what was measured on COVID-CTset beside what is printed."""
    own = Records(
        images=tuple(one for one in records.images if one.judged_on == "covid-ctset"),
        patients=records.patients,
    )
    return sizes_sheet(own), patients_sheet(own), seconds_sheet(own), images_sheet(own)
