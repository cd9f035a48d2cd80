"""How a frontal radiograph is turned for display: the head above, the patient's left at the right."""

from __future__ import annotations

from collections.abc import Sequence

from node.imaging.geometry import DisplayOrientation

SIDEWAYS, LENGTHWAYS, THROUGH = frozenset("LR"), frozenset("HF"), frozenset("AP")


def frontal_orientation(directions: Sequence[str]) -> DisplayOrientation | None:
    """Return how stored pixels must be turned so that columns run to the left and rows to the feet.

    Parameters
    ----------
    directions : sequence of str
        PatientOrientation (0020,0020): direction of the rows, then of the columns; of a compound direction
        the first letter is the main one (PS3.3 C.7.6.1.1.1).

    Returns
    -------
    DisplayOrientation or None
        None when the directions are not known, or not those of a frontal view.
    """
    if len(directions) != 2:
        return None
    along_row, along_column = (direction[:1] for direction in directions)
    if along_row in SIDEWAYS and along_column in LENGTHWAYS:
        return DisplayOrientation(
            transposed=False, rows_reversed=along_column == "H", columns_reversed=along_row == "R"
        )
    if along_row in LENGTHWAYS and along_column in SIDEWAYS:
        return DisplayOrientation(
            transposed=True, rows_reversed=along_row == "H", columns_reversed=along_column == "R"
        )
    return None


def is_seen_from_the_side(directions: Sequence[str]) -> bool:
    """Whether rows or columns run from front to back: then the view is lateral."""
    return any(direction[:1] in THROUGH for direction in directions)
