"""Outlines on one axial slice: the body, and the bounding box of the lungs."""

from __future__ import annotations

import cv2
import numpy as np

from node.domain.input_spec import LungBoxSpec, WindowSpec
from node.imaging.arrays import Box, Grey, Mask, Stored

BODY_CLOSING = 7
"""Side in pixels of the closing of the body's outline; bridges a windpipe or an ear canal that is open."""
WORKING_SIDE = 256
"""Longer side in pixels of the picture on which the lung box is found; below it noise and vessels vanish."""
FRAME_WHITE = 245
"""Grey level from which a border row or column counts as paper around the picture."""
FRAME_SHARE = 0.9
"""Share of such pixels that makes a row or column part of the paper."""
BODY_OPENING = 7
"""Side in working pixels of the opening that cuts the table off the body."""
BORDER_CONTACT = 2
"""A lung field meets the image's border over less than the square root of this times its area."""
WHOLE_BODY = 0.12
"""Share of air at the corners from which the picture shows the whole body."""
IN_HULL = 0.7
"""Share of a lung field that then lies in the body's convex hull; air over a table does not."""
OPENING = 3
"""Side in working pixels of the opening that cuts a leak between lung and outside air."""

Extent = tuple[float, float]
"""First row or column and the one after the last, in working pixels."""


def body_mask(v: Stored, body_above_hu: int) -> Mask:
    """Return the inside of the body's outline: skin and all that it encloses, without table and clothing.

    Parameters
    ----------
    v : uint16 array, shape (rows, columns)
        HU + 1024, clipped to 0..4095.
    body_above_hu : int
        Tissue is above this, in HU.

    Returns
    -------
    uint8 array, shape (rows, columns)
        1 inside, 0 outside; all 0 where nothing is above the level.
    """
    tissue = (v > body_above_hu + 1024).astype(np.uint8)
    largest = largest_component(tissue)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (BODY_CLOSING, BODY_CLOSING))
    return fill_holes(np.asarray(cv2.morphologyEx(largest, cv2.MORPH_CLOSE, kernel), dtype=np.uint8))


def largest_component(mask: Mask) -> Mask:
    """Return the largest connected component (8 neighbours) of a mask; all 0 when it is empty.

    Parameters
    ----------
    mask : uint8 array, shape (rows, columns), of 0 and 1
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return np.zeros_like(mask)
    label = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return np.asarray(labels == label, dtype=np.uint8)


def fill_holes(mask: Mask) -> Mask:
    """Return the mask with all that it encloses.

    Parameters
    ----------
    mask : uint8 array, shape (rows, columns), of 0 and 1
    """
    padded = np.pad(mask, 1)
    cv2.floodFill(padded, None, (0, 0), 2)
    return np.asarray(padded[1:-1, 1:-1] != 2, dtype=np.uint8)


def lung_box(grey: Grey, spec: LungBoxSpec, window: WindowSpec) -> Box | None:
    """Return the bounding box of the lungs with its margin, or None when no lung is seen.

    One function for slices and for pictures: both come as windowed 8-bit images. A picture may be cut close
    to the lungs, stand on white paper, or show the whole field of view.

    Parameters
    ----------
    grey : uint8 array, shape (rows, columns)
        A slice in the model's lung window.
    spec : LungBoxSpec
    window : WindowSpec
        The window of ``grey``; turns ``spec.air_below_hu`` into a grey level.

    Returns
    -------
    Box or None
        Clipped to the image.
    """
    top, bottom, left, right = _without_paper(grey)
    inner = grey[top:bottom, left:right]
    if min(inner.shape) < 16:
        return None
    scale = WORKING_SIDE / max(inner.shape)
    side = (max(8, round(inner.shape[1] * scale)), max(8, round(inner.shape[0] * scale)))
    small = cv2.resize(inner, side, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    level = 255 * ((spec.air_below_hu - window.center) / window.width + 0.5)
    dark = (small < level).astype(np.uint8)
    thick = _thick_tissue(dark)
    fields = _lung_fields(dark, thick, spec.minimum_area_share)
    if not fields.any():
        return None
    body_rows, body_columns = (
        _extent(thick, axis=1),
        _extent(largest_component(np.asarray(1 - dark, dtype=np.uint8)), axis=0),
    )
    columns = _symmetric(_extent(fields, axis=0), body_columns, spec.symmetry)
    rows = _tall_enough(_extent(fields, axis=1), body_rows, spec.minimum_aspect * (columns[1] - columns[0]))
    box = (rows[0] / scale, rows[1] / scale, columns[0] / scale, columns[1] / scale)
    return _with_margin(box, spec.margin, (top, left), grey.shape[:2])


def _thick_tissue(dark: Mask) -> Mask:
    """Return the largest part that is not dark, without thin things such as a table beneath it."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (BODY_OPENING, BODY_OPENING))
    return largest_component(np.asarray(cv2.morphologyEx(1 - dark, cv2.MORPH_OPEN, kernel), dtype=np.uint8))


def _hull(mask: Mask) -> Mask:
    """Return the convex hull of a mask that is not empty."""
    filled = np.zeros_like(mask)
    cv2.fillConvexPoly(filled, cv2.convexHull(cv2.findNonZero(mask)), 1)
    return filled


def _without_paper(grey: Grey) -> Box:
    """Return the image without a white frame: rows and columns at the border that are nearly all white."""
    white = grey >= FRAME_WHITE
    rows, columns = white.mean(axis=1) < FRAME_SHARE, white.mean(axis=0) < FRAME_SHARE
    if not rows.any() or not columns.any():
        return 0, grey.shape[0], 0, grey.shape[1]
    kept_rows, kept_columns = np.flatnonzero(rows), np.flatnonzero(columns)
    return int(kept_rows[0]), int(kept_rows[-1]) + 1, int(kept_columns[0]), int(kept_columns[-1]) + 1


def _lung_fields(dark: Mask, thick: Mask, minimum_area_share: float) -> Mask:
    """Return the dark parts that are lungs: large, beside the body's tissue, and not the air around it.

    A part at the border is outside air when it holds a corner of the image, reaches from the left side to the
    right one (air over a table) or runs along the border more than its area warrants; else it is a lung in a
    picture that is cut close. Where much air shows at the corners the whole body is in view, and lungs lie in
    its hull; in a picture cut close the hull may lack the thin wall of the chest.
    """
    if not thick.any():
        return np.zeros_like(dark)
    opened = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((OPENING, OPENING), np.uint8))
    count, labels, stats, centroids = cv2.connectedComponentsWithStats(opened, connectivity=4)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    contact = np.bincount(border, minlength=count)
    area = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
    top, bottom = _extent(thick, axis=1)
    lungs = (area >= minimum_area_share * dark.size) & (contact**2 < BORDER_CONTACT * area)
    lungs &= (centroids[:, 1] >= top) & (centroids[:, 1] < bottom)
    corners = {int(label) for label in labels[[0, 0, -1, -1], [0, -1, 0, -1]]} - {0}
    lungs[[0, *corners, *np.intersect1d(labels[:, 0], labels[:, -1])]] = False
    if area[list(corners)].sum() >= WHOLE_BODY * dark.size:
        lungs &= np.bincount(labels[_hull(thick) > 0], minlength=count) >= IN_HULL * area
    return np.asarray(lungs[labels], dtype=np.uint8)


def _extent(mask: Mask, axis: int) -> Extent:
    """Return the first row (axis 1) or column (axis 0) that is not empty and the one after the last."""
    where = np.flatnonzero(np.any(mask, axis=axis))
    return float(where[0]), float(where[-1] + 1)


def _symmetric(columns: Extent, body: Extent, share: float) -> Extent:
    """Widen the narrower half of a box about the body's midline to ``share`` of the other half."""
    middle = (body[0] + body[1]) / 2
    reach = share * max(middle - columns[0], columns[1] - middle)
    return (
        min(columns[0], max(body[0], middle - reach)),
        max(columns[1], min(body[1], middle + reach)),
    )


def _tall_enough(rows: Extent, body: Extent, height: float) -> Extent:
    """Grow a box that is too low towards the side where the body reaches further."""
    missing = height - (rows[1] - rows[0])
    above, below = max(0.0, rows[0] - body[0]), max(0.0, body[1] - rows[1])
    if missing <= 0 or above + below == 0:
        return rows
    part = min(1.0, missing / (above + below))
    return rows[0] - part * above, rows[1] + part * below


def _with_margin(
    box: tuple[float, float, float, float], margin: float, origin: tuple[int, int], shape: tuple[int, ...]
) -> Box:
    """Add the margin on each side, move the box to the whole image and clip it there."""
    top, bottom, left, right = box
    high, wide = margin * (bottom - top), margin * (right - left)
    return (
        max(0, round(origin[0] + top - high)),
        min(shape[0], round(origin[0] + bottom + high)),
        max(0, round(origin[1] + left - wide)),
        min(shape[1], round(origin[1] + right + wide)),
    )
