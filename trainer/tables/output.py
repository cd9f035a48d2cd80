"""Sheets as text and files, and the confusion matrices of a cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from trainer.errors import OutputError
from trainer.fit.checkpoint import write_atomically
from trainer.judge.plots import confusion_png
from trainer.tables.records import ImagesJudged, Records
from trainer.tables.sheet import Sheet, csv_text, markdown


class Format(StrEnum):
    """How tables are printed."""

    MARKDOWN = "markdown"
    CSV = "csv"


def text_of_sheets(sheets: Sequence[Sheet], form: Format) -> str:
    """Return sheets as one text; as CSV each has its title and notes before it, in lines with a #."""
    if form is Format.MARKDOWN:
        return "\n".join(map(markdown, sheets))
    parts = []
    for sheet in sheets:
        said = "".join(f"# {line}\n" for line in (sheet.title, *sheet.notes))
        parts.append(said + csv_text(sheet))
    return "\n".join(parts)


def write_sheets(sheets: Sequence[Sheet], folder: Path) -> None:
    """Write each sheet as CSV and all of them as ``tables.md``.

    Raises
    ------
    TrainerError
        The folder cannot be written to.
    """
    _make(folder)
    for sheet in sheets:
        write_atomically(folder / f"{sheet.name}.csv", csv_text(sheet).encode())
    write_atomically(folder / "tables.md", text_of_sheets(sheets, Format.MARKDOWN).encode())


def write_confusions(records: Records, folder: Path) -> None:
    """Draw each network's confusion matrix of every run, and the sum over runs where there are several.

    The paper's figure 10 shows means over the five folds (Rahimzadeh et al. 2021); sums have the same shares.

    Raises
    ------
    TrainerError
        The folder cannot be written to.
    """
    _make(folder)
    keys = dict.fromkeys((one.net, one.trained_on, one.judged_on) for one in records.images)
    for net, trained_on, judged_on in keys:
        mine = [
            one
            for one in records.images
            if (one.net, one.trained_on, one.judged_on) == (net, trained_on, judged_on)
        ]
        where = "" if judged_on == trained_on else f"-on-{judged_on}"
        for one in mine:
            title = f"{net}, {judged_on}, {one.part}, {one.run.replace('-', ' ')}"
            _draw([one], folder / f"confusion-{net}-{one.run}{where}.png", title)
        if len(mine) > 1:
            kinds = "folds" if mine[0].run.startswith("fold") else "seeds"
            title = f"{net}, {judged_on}, {len(mine)} {kinds}"
            _draw(mine, folder / f"confusion-{net}-all-{kinds}{where}.png", title)


def _draw(judged: Sequence[ImagesJudged], file: Path, title: str) -> None:
    counts = [one.counts for one in judged]
    table = [
        [sum(one.true_positive for one in counts), sum(one.false_negative for one in counts)],
        [sum(one.false_positive for one in counts), sum(one.true_negative for one in counts)],
    ]
    confusion_png(table, ("COVID-19", "other"), file, title)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made ({error}); choose another --out") from error
