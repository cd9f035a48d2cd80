"""Tables and lists that come with a data set: text from elsewhere, which never becomes a path unchecked."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from trainer.errors import EmptyClass, LayoutError

LARGEST: Final = 256 * 2**20
"""Bytes; the table of CheXpert has 30 million."""
PLAIN_NAME: Final = re.compile(r"[^/\\\x00-\x1f]+")


def read_text(file: Path) -> str:
    """Read a table or list as UTF-8, with or without byte order mark.

    Raises
    ------
    LayoutError
        The file is missing, too large or no text.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise LayoutError(f"{file} has more than {LARGEST} bytes; no table of a data set has")
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LayoutError(
            f"{file} cannot be read ({error}); it belongs to the layout of this kind"
        ) from error


def read_table(file: Path, columns: Collection[str]) -> list[dict[str, str]]:
    """Read a CSV file whose header may differ in case and blanks.

    Parameters
    ----------
    file : Path
    columns : collection of str
        Names in lower case that must be there.

    Returns
    -------
    list of dict
        Column in lower case without blanks around it -> value without blanks around it.

    Raises
    ------
    LayoutError
        The file cannot be read, a column is missing, or a row is malformed.
    """
    text = io.StringIO(read_text(file), newline="")
    try:
        rows = [row for row in csv.reader(text, strict=True) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise LayoutError(f"{file} is not CSV ({error})") from error
    header = [name.strip().lower() for name in rows[0]] if rows else []
    if missing := sorted(set(columns) - set(header)):
        raise LayoutError(f"{file} lacks the column {', '.join(missing)}")
    return [{name: cell.strip() for name, cell in zip(header, row, strict=False)} for row in rows[1:]]


def read_list(file: Path) -> list[str]:
    """Read one name a line; empty lines do not count.

    Raises
    ------
    LayoutError
    """
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]


def plain_name(name: str, file: Path) -> str:
    """Return a file name out of a list, if it is the name of a file and nothing more.

    Raises
    ------
    LayoutError
        It holds a separator or control character, or is ``.`` or ``..``.
    """
    if not PLAIN_NAME.fullmatch(name) or name in (".", ".."):
        raise LayoutError(
            f"{file} names {name[:80]!r}, which is no plain file name; nothing was read from there"
        )
    return name


def require_files(images: Sequence[Path], listed_in: Path) -> None:
    """Make sure that every listed image is there.

    Raises
    ------
    LayoutError
        Some are missing; says how many and the first.
    """
    missing = [image for image in images if not image.is_file()]
    if missing:
        raise LayoutError(
            f"{len(missing)} of {len(images)} images that {listed_in} lists are missing, the first "
            f"{missing[0]}; fetch them, or take their lines out of the list"
        )


def number_of(text: str) -> float | None:
    """Return a finite number at the beginning of a cell (``053Y``, ``1.5``), None where there is none."""
    found = re.match(r"\d{1,6}(\.\d{1,6})?", text)
    return float(found.group()) if found else None


def require_both(flags: Collection[bool], root: Path, classes: tuple[str, str]) -> None:
    """Make sure that neither class is empty.

    Parameters
    ----------
    flags : collection of bool
        ``Case.positive`` of all cases.
    root : Path
    classes : (positive, negative)
        In words.

    Raises
    ------
    EmptyClass
    """
    for flag, name in zip((True, False), classes, strict=True):
        if flag not in flags:
            raise EmptyClass(f"{root} holds no image of the class {name}; the download may be incomplete")
