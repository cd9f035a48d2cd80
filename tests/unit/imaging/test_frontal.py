"""Turning radiographs upright."""

from __future__ import annotations

import numpy as np
import pytest

from node.imaging.frontal import frontal_orientation, is_seen_from_the_side

UPRIGHT = np.array([["head right", "head left"], ["feet right", "feet left"]])
"""What lies in the corners of the displayed image."""


def stored_as(along_row: str, along_column: str) -> np.ndarray:
    """Return the corners as an image stores them whose rows and columns run in these directions."""

    def ends(direction: str) -> tuple[str, str]:
        pairs = {"L": ("right", "left"), "R": ("left", "right"), "F": ("head", "feet"), "H": ("feet", "head")}
        return pairs[direction]

    corners = [[{left, top} for left in ends(along_row)] for top in ends(along_column)]
    return np.array(
        [[" ".join(sorted(c, key=("head", "feet", "right", "left").index)) for c in row] for row in corners]
    )


@pytest.mark.parametrize("along_row", "LR")
@pytest.mark.parametrize("along_column", "FH")
def test_every_way_of_storing_is_set_upright(along_row: str, along_column: str) -> None:
    for directions in ((along_row, along_column), (along_column, along_row)):
        orientation = frontal_orientation(directions)
        assert orientation is not None
        np.testing.assert_array_equal(orientation.apply(stored_as(*directions)), UPRIGHT)


def test_the_first_letter_of_a_compound_direction_counts() -> None:
    assert frontal_orientation(("LA", "FP")) == frontal_orientation(("L", "F"))


@pytest.mark.parametrize("directions", [(), ("L",), ("L", "R"), ("H", "F"), ("A", "F"), ("", ""), ("X", "Y")])
def test_unknown_directions_turn_nothing(directions: tuple[str, ...]) -> None:
    assert frontal_orientation(directions) is None


def test_rows_or_columns_from_front_to_back_are_a_lateral_view() -> None:
    assert is_seen_from_the_side(("A", "F"))
    assert is_seen_from_the_side(("L", "P"))
    assert not is_seen_from_the_side(("LA", "F"))
    assert not is_seen_from_the_side(())
