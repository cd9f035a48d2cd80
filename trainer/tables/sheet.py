"""A table as it is shown: cells of text, remarks beside cells, notes below."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Remark:
    """What has to be said beside one cell."""

    row: int
    """Index of the row."""
    column: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One table."""

    name: str
    """Stem of its files."""
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[Remark, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences below the table."""


def shown(value: float | str | None, decimals: int | None = None) -> str:
    """Return a value as text: ``-`` for None, counts without needless zeros, rates with fixed decimals."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:.6g}" if decimals is None else f"{value:.{decimals}f}"


def markdown(sheet: Sheet) -> str:
    """Return a sheet as a section of Markdown; remarks become numbers in their cells."""
    texts = list(dict.fromkeys(remark.text for remark in sheet.remarks))
    rows = [list(map(_escaped, row)) for row in sheet.rows]
    for remark in sheet.remarks:
        cell = rows[remark.row]
        cell[sheet.columns.index(remark.column)] += f" ({texts.index(remark.text) + 1})"
    lines = [f"## {sheet.title}", "", _line(list(map(_escaped, sheet.columns)))]
    lines += [_line(["---"] * len(sheet.columns)), *map(_line, rows), ""]
    lines += [f"({number}) {text}  " for number, text in enumerate(texts, 1)]
    if texts:
        lines.append("")
    lines += [f"- {note}" for note in sheet.notes]
    return "\n".join(lines).rstrip() + "\n"


def _escaped(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def csv_text(sheet: Sheet) -> str:
    """Return a sheet as CSV; the last column, ``remark``, holds what has to be said of a row's cells."""
    beside: dict[int, list[str]] = {}
    for remark in sheet.remarks:
        beside.setdefault(remark.row, []).append(f"{remark.column}: {remark.text}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*sheet.columns, "remark"))
    for number, row in enumerate(sheet.rows):
        writer.writerow((*row, " ".join(beside.get(number, []))))
    return text.getvalue()
