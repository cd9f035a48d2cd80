"""Tables II to VI of Deep-CT-Net and Deep-CXR-Net, and what was measured here beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from trainer.tables.checks import DECIMALS, f_remarks, part_remarks, unreachable_remarks
from trainer.tables.formulas import f_measure, mean_of, share
from trainer.tables.paper_rows import MethodRow, PartRow, paper_rows
from trainer.tables.records import ImagesJudged, Records
from trainer.tables.sheet import Remark, Sheet, shown

PAPER: Final = "Deep-CT-Net and Deep-CXR-Net (Scientific Reports 2022)"
PRINTED, HERE = "printed", "measured here"
COVID_CT_TEST: Final = (98, 105)
"""COVID-19 and other images in the official test part of COVID-CT."""
CT_COV19_TEST: Final = PartRow(part="test", covid=1700, other_pneumonia=151, normal=851, total=2702)
RATES: Final = ("precision", "recall", "f_measure", "auc", "accuracy")
TEST_SELECTED: Final = (
    "The paper does not say how its networks' epochs and thresholds were chosen; take the printed figures as "
    "test-selected. Figures measured here are of one checkpoint a seed, chosen without the part judged, at a "
    "probability of 0.5 with COVID-19 as the positive class."
)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """One of tables III to VI."""

    number: int
    roman: str
    title: str
    scored: str
    """What the paper was judged on, in words."""
    belongs: Callable[[ImagesJudged], bool]
    remarks: Callable[[Sequence[MethodRow]], list[Remark]]
    notes: tuple[str, ...]


def _on(trained: str, judged: str) -> Callable[[ImagesJudged], bool]:
    return lambda one: (one.trained_on, one.judged_on) == (trained, judged)


def _table_iii(rows: Sequence[MethodRow]) -> list[Remark]:
    number = next(index for index, row in enumerate(rows) if row.method == "Deep-CT-Net")
    row = rows[number]
    covid, others = CT_COV19_TEST.covid, CT_COV19_TEST.total - CT_COV19_TEST.covid
    tp = round((row.recall or 0) * covid)
    fp = round(tp / (row.precision or 1)) - tp
    specificity, accuracy = share(others - fp, others), share(tp + others - fp, covid + others)
    text = (
        f"with the recall it means about {tp} true and {fp} false positives: specificity "
        f"{shown(specificity, 2)}, accuracy {shown(accuracy, 2)}. Calling every image COVID-19 has a "
        f"precision of {shown(share(covid, covid + others), DECIMALS)}."
    )
    return [*f_remarks(rows), Remark(row=number, column="precision", text=text)]


def _on_covid_ct(rows: Sequence[MethodRow]) -> list[Remark]:
    return f_remarks(rows) + unreachable_remarks(rows, *COVID_CT_TEST)


def _table_vi(rows: Sequence[MethodRow]) -> list[Remark]:
    number = next(index for index, row in enumerate(rows) if row.method == "Deep-CXR-Net")
    return [*f_remarks(rows), Remark(row=number, column="auc", text="the paper's abstract says 0.984.")]


RADIOGRAPHS: Final = (
    "The paper names neither the version of ieee8023 nor the source of the added pneumonias. Taken here: "
    "frontal views, divided 70 to 30 by patients; the added ones are children's radiographs of another "
    "hospital, so the source alone may tell them."
)
SHARES_IN_TEXT: Final = (
    "The paper's text says 70, 10 and 20 %, and 61.5, 5.8 and 32.7 % for the classes; by this table they are"
)
QUOTED: Final = (
    "Rows quoted from other papers may have been judged on another version of COVID-CT's split than the "
    f"official one of {COVID_CT_TEST[0]} and {COVID_CT_TEST[1]} test images."
)
TABLES: Final = (
    _Wanted(
        number=3,
        roman="III",
        title="CT-COV19",
        scored="test: 1700 COVID-19, 1002 others",
        belongs=_on("ct-cov19", "ct-cov19"),
        remarks=_table_iii,
        notes=(
            (
                "The paper calls Deep-CT-Net superior by its AUC; it has the lowest precision and the third "
                "F-measure."
            ),
            "No part of CT-COV19 is known to be divided by patients.",
        ),
    ),
    _Wanted(
        number=4,
        roman="IV",
        title="trained on CT-COV19, judged on COVID-CT",
        scored="test: 98 COVID-19, 105 others",
        belongs=_on("ct-cov19", "covid-ct"),
        remarks=_on_covid_ct,
        notes=(QUOTED,),
    ),
    _Wanted(
        number=5,
        roman="V",
        title="COVID-CT",
        scored="test: 98 COVID-19, 105 others",
        belongs=_on("covid-ct", "covid-ct"),
        remarks=_on_covid_ct,
        notes=(QUOTED,),
    ),
    _Wanted(
        number=6,
        roman="VI",
        title="radiographs of ieee8023",
        scored="30 % and 100 pneumonias from elsewhere; sizes not told",
        belongs=_on("covid-chestxray", "covid-chestxray"),
        remarks=_table_vi,
        notes=(RADIOGRAPHS,),
    ),
)


def parts_sheet() -> Sheet:
    """Return table II."""
    rows = paper_rows(PartRow, "deep_ct_net_table2")
    total = rows[-1].total
    return Sheet(
        name="deep-ct-net-table-2",
        title=f"{PAPER}, table II: images of CT-COV19",
        columns=("part", "covid", "other_pneumonia", "normal", "total", "share"),
        rows=tuple(
            (
                row.part,
                *(shown(value) for value in (row.covid, row.other_pneumonia, row.normal, row.total)),
                f"{100 * row.total / total:.1f} %",
            )
            for row in rows
        ),
        remarks=tuple(part_remarks(rows)),
        notes=(
            f"{SHARES_IN_TEXT} {', '.join(f'{100 * part / total:.1f}' for part in _classes(rows[-1]))} %.",
        ),
    )


def _classes(row: PartRow) -> tuple[int, int, int]:
    return row.covid, row.other_pneumonia, row.normal


@dataclass(frozen=True, kw_only=True)
class OwnRow:
    """What was measured with one seed, or its mean over seeds."""

    row: MethodRow
    scored: str
    interval: str


def own_rows(judged: Sequence[ImagesJudged]) -> list[OwnRow]:
    """Return the rates of each seed, and their mean over seeds where one network has several."""
    seeds = [_own_row(one) for one in judged]
    means = []
    for net in dict.fromkeys(one.net for one in judged):
        mine = [row for row, one in zip(seeds, judged, strict=True) if one.net == net]
        if len(mine) > 1:
            rates = {name: mean_of([getattr(one.row, name) for one in mine]) for name in RATES}
            title = f"{net}, mean of {len(mine)} seeds"
            means.append(OwnRow(row=MethodRow(method=title, **rates), scored=mine[0].scored, interval="-"))
    return seeds + means


def _own_row(one: ImagesJudged) -> OwnRow:
    counts = one.counts
    tp, fp = counts.true_positive, counts.false_positive
    precision, recall = share(tp, tp + fp), share(tp, tp + counts.false_negative)
    images = one.judged.covid_images + one.judged.other_images
    added = f", {one.added} of them added" if one.added else ""
    low, high = one.auc_interval
    return OwnRow(
        row=MethodRow(
            method=f"{one.net}, {one.run.replace('-', ' ')}",
            precision=precision,
            recall=recall,
            f_measure=f_measure(precision, recall),
            auc=one.auc,
            accuracy=share(tp + counts.true_negative, images),
        ),
        scored=f"{one.part}: {one.judged.covid_images} COVID-19, {one.judged.other_images} others{added}",
        interval=f"{low:.{DECIMALS}f} to {high:.{DECIMALS}f}",
    )


COLUMNS: Final = ("source", "method", "scored", *RATES, "auc_95_%")


def _cells(source: str, row: MethodRow, scored: str, interval: str) -> tuple[str, ...]:
    rates = (shown(getattr(row, name), DECIMALS) for name in RATES)
    return (source, row.method, scored, *rates, interval)


def _method_sheet(wanted: _Wanted, records: Records) -> Sheet:
    printed = paper_rows(MethodRow, f"deep_ct_net_table{wanted.number}")
    judged = [one for one in records.images if wanted.belongs(one)]
    return Sheet(
        name=f"deep-ct-net-table-{wanted.number}",
        title=f"{PAPER}, table {wanted.roman}: {wanted.title}",
        columns=COLUMNS,
        rows=(
            *(_cells(PRINTED, row, wanted.scored, "-") for row in printed),
            *(_cells(HERE, own.row, own.scored, own.interval) for own in own_rows(judged)),
        ),
        remarks=tuple(wanted.remarks(printed)),
        notes=(TEST_SELECTED, *wanted.notes, *_said_of(judged)),
    )


def _said_of(judged: Sequence[ImagesJudged]) -> list[str]:
    if not judged:
        return ["Nothing was measured here."]
    parts = sorted({one.part for one in judged} - {"test"})
    return [
        *(f"The parts here: {division}." for division in sorted({one.division for one in judged})),
        *(f"Measured on the part {part}, since this copy of the set has no part test." for part in parts),
    ]


def _other_sheet(records: Records) -> Sheet | None:
    """Return what was measured across sets for which the paper has no table; None without any."""
    judged = [
        one
        for one in records.images
        if "covid-ctset" not in (one.trained_on, one.judged_on)
        and not any(wanted.belongs(one) for wanted in TABLES)
    ]
    if not judged:
        return None
    rows = []
    for pair in dict.fromkeys((one.trained_on, one.judged_on) for one in judged):
        mine = [one for one in judged if (one.trained_on, one.judged_on) == pair]
        rows += [
            _cells(HERE, own.row, f"{pair[0]} to {pair[1]}, {own.scored}", own.interval)
            for own in own_rows(mine)
        ]
    return Sheet(
        name="deep-ct-net-across-sets",
        title="Across sets, for which the paper has no table",
        columns=COLUMNS,
        rows=tuple(rows),
        notes=("At a probability of 0.5 with COVID-19 as the positive class.", *_said_of(judged)),
    )


def deep_ct_sheets(records: Records) -> tuple[Sheet, ...]:
    """Return tables II to VI, with what was measured beside what is printed."""
    other = _other_sheet(records)
    return (
        parts_sheet(),
        *(_method_sheet(wanted, records) for wanted in TABLES),
        *(() if other is None else (other,)),
    )
