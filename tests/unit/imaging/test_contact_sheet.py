"""The page holds every image, as large as it fits, and is readable at its size and at half of it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.imaging.contact_sheet import ContactSheet, SheetText, SheetTile, around_body, contact_sheet
from node.imaging.lettering import AMBER, ORANGE
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import hu_to_stored
from node.imaging.scout import Level, Scout, ScoutText

TEXT = SheetText(
    banner="AI, research use, not for diagnosis",
    title="A title",
    outcome="NEGATIVE",
    lines=("A line.", "A warning that is a good deal longer than the page is wide. " * 3),
    tiles="The highest scores",
    scale=("none", "highest"),
    note="Not a lesion outline.",
)
SCOUT = Scout(
    levels=[
        Level(
            position=5.0 * i,
            profile=np.linspace(-900, 100, 64, dtype=np.float32),
            value=i / 40,
            selected=True,
            positive=i > 20,
            tag="",
        )
        for i in range(40)
    ],
    column_mm=5.0,
    threshold=0.5,
    highest=1.0,
    text=ScoutText(
        plot="score",
        ends=("0", "1"),
        positive="positive",
        selected="selected",
        not_selected="not selected",
        threshold="threshold",
        notes=(),
        stretched="stretched",
    ),
)


def tile(rows=200, columns=300, *, level=90, positive=False, mapped=False):
    return SheetTile(
        picture=np.full((rows, columns), level, dtype=np.uint8),
        label="1: score 0.900",
        detail="slice 3",
        positive=positive,
        mapped=mapped,
        sides=("", ""),
    )


def sheet(tiles, **changes):
    return ContactSheet(**{"text": TEXT, "flagged": False, "scout": SCOUT, "tiles": tiles, **changes})


@pytest.mark.parametrize("count", range(7))
@pytest.mark.parametrize("scout", [SCOUT, None], ids=["with scout", "without"])
def test_every_image_is_shown_whole(count, scout):
    levels = [61 + 20 * number for number in range(count)]
    page = contact_sheet(sheet([tile(level=level) for level in levels], scout=scout))
    assert page.shape[1:] == (1024, 3)
    assert page.dtype == np.uint8
    for level in levels:
        found = (page == level).all(axis=2).astype(np.uint8)
        _, _, parts, _ = cv2.connectedComponentsWithStats(found)
        columns, rows = parts[1 + parts[1:, cv2.CC_STAT_AREA].argmax()][2:4]
        assert columns >= 150
        assert columns / rows == pytest.approx(1.5, rel=0.03)


@given(
    st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=6),
    st.booleans(),
)
def test_images_of_every_shape_fit(shapes, mapped):
    tiles = [tile(min(rows, 900), min(columns, 900), mapped=mapped) for rows, columns in shapes]
    page = contact_sheet(sheet(tiles, scout=None))
    assert page.shape[1] == 1024
    assert page.shape[0] < 1400


def test_the_legend_of_maps_stands_only_where_there_is_one():
    plain, coloured = (contact_sheet(sheet([tile(mapped=mapped)])) for mapped in (False, True))
    hues = [np.ptp(page[-60:].astype(int), axis=2).max() for page in (plain, coloured)]
    assert hues[0] == 0
    assert hues[1] > 100


def test_only_a_flagged_study_is_marked():
    marked = [
        (contact_sheet(sheet([], scout=None, flagged=flagged)) == ORANGE).all(axis=2).any()
        for flagged in (False, True)
    ]
    assert marked == [False, True]


def test_the_banner_is_readable_at_half_the_size():
    page = contact_sheet(sheet([tile()]))
    half = cv2.resize(page, (512, page.shape[0] // 2), interpolation=cv2.INTER_AREA)
    inked = np.flatnonzero((np.abs(half[:20].astype(int) - AMBER).max(axis=2) < 110).any(axis=1))
    assert inked.size >= 6


def test_a_long_text_makes_the_page_longer_and_leaves_the_images_their_room():
    short = contact_sheet(sheet([tile()] * 6))
    long = contact_sheet(sheet([tile()] * 6, text=replace(TEXT, lines=TEXT.lines * 8)))
    shown = [int((page == 90).all(axis=2).sum()) for page in (short, long)]
    assert long.shape[0] > short.shape[0]
    assert shown[1] > 0.8 * shown[0]


def test_a_slice_is_cut_to_the_body():
    phantom = ThoraxPhantom(slices=8, rows=128)
    v = hu_to_stored(phantom.slice_at(4).hu)
    top, bottom, left, right = around_body(v, -500)
    assert 20 < bottom - top < 110
    assert 60 < right - left < 126
    body = v > 1024 - 500
    assert body[top:bottom, left:right].sum() > 0.9 * body.sum()


def test_a_slice_without_a_body_is_shown_whole():
    assert around_body(np.zeros((40, 50), dtype=np.uint16), -500) == (0, 40, 0, 50)
