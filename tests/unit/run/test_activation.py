"""Maps over stored pixels: wherever a scanner begins its rows, a hot spot is at one place in the patient."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from node.dicom.read import read_dataset, read_header
from node.dicom.slices import SliceSource, StoredPixels
from node.dicom.write import PhantomLabels, phantom_data_sets, save
from node.domain.preparation_spec import WindowSpec
from node.domain.wording import ENGLISH
from node.imaging.geometry import slice_plane
from node.imaging.heatmap import place_cam
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import Framing
from node.imaging.selection import Plausibility
from node.report.frame_place import place_of
from node.run.looking import LookedAt
from node.run.scoring import Scored
from node.run.slice_analysis import SliceAnalysis
from tests.unit.report.conftest import Case

ROWS, COLUMNS, SPACING, LEFT, FRONT = 40, 64, 2.0, -60.0, -35.0
"""The slice as displayed, and where its first pixel lies."""
BOX = (4, 36, -8, 72)
"""What the network saw, in displayed pixels: it reaches beyond both sides."""
CAM = np.zeros((4, 5), np.float32)
CAM[1, 3] = 0.002
FINDING = Case(count=1, positive=0).request().finding

ORIENTATIONS = {
    "supine": (False, False, False),
    "from the left": (False, False, True),
    "from the back": (False, True, False),
    "prone": (False, True, True),
    "on a side": (True, False, False),
    "on the other side": (True, True, False),
}


def stored_slice(path: Path, transposed: bool, rows_reversed: bool, columns_reversed: bool) -> Dataset:
    """Write a slice whose stored rows begin at another corner, and return its header."""
    data_set = next(iter(phantom_data_sets(ThoraxPhantom(slices=10, rows=64), PhantomLabels())))
    x_step, y_step = (-1 if columns_reversed else 1), (-1 if rows_reversed else 1)
    x = LEFT + (COLUMNS - 1) * SPACING if columns_reversed else LEFT
    y = FRONT + (ROWS - 1) * SPACING if rows_reversed else FRONT
    across, down = (x_step, 0, 0), (0, y_step, 0)
    data_set.ImageOrientationPatient = [*down, *across] if transposed else [*across, *down]
    data_set.ImagePositionPatient = [x, y, 10]
    data_set.PixelSpacing = [SPACING, SPACING]
    data_set.Rows, data_set.Columns = (COLUMNS, ROWS) if transposed else (ROWS, COLUMNS)
    data_set.PixelData = bytes(2 * ROWS * COLUMNS)
    save(data_set, path, pydicom.uid.ExplicitVRLittleEndian)
    return read_dataset(path)


def analysis(path: Path, header: Dataset) -> SliceAnalysis:
    """The analysis of a series of this one slice."""
    plane = slice_plane(
        tuple(map(float, header.ImagePositionPatient)), tuple(map(float, header.ImageOrientationPatient))
    )
    source = SliceSource(
        header=read_header(path), frame=1, plane=plane, position=10.0, pixels=StoredPixels(path)
    )
    return SliceAnalysis(
        looked=LookedAt(
            sources=(source,),
            counts=(),
            pixel_digests=("",),
            profiles=(),
            kept=(0,),
            threshold=Fraction(1),
            plausibility=Plausibility(reason=None, runs=1, note=None),
        ),
        scored=[Scored(probability=0.9, cam=CAM, box=BOX, framing=Framing.FULL_FRAME)],
        window=WindowSpec(center=-600, width=1500),
        body_above_hu=-200,
        words=ENGLISH,
    )


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_hot_spot_lies_at_one_place_in_the_patient(name: str, tmp_path: Path) -> None:
    path = tmp_path / "slice.dcm"
    header = stored_slice(path, *ORIENTATIONS[name])
    values = analysis(path, header).activation(FINDING, 0)
    assert values.dtype == np.float32
    assert values.shape == (header.Rows, header.Columns)

    displayed = place_cam(CAM, BOX, (ROWS, COLUMNS))
    row, column = np.unravel_index(displayed.argmax(), displayed.shape)
    assert values.max() == displayed.max() > 0
    assert sorted(values.ravel()) == sorted(displayed.ravel())

    place = place_of(header, 1)
    position, cosines, spacing = (
        np.array([float(value) for value in part])
        for part in (place.image_position, place.image_orientation, place.pixel_spacing)
    )
    hottest = [
        position + cosines[3:] * spacing[0] * i + cosines[:3] * spacing[1] * j
        for i, j in np.argwhere(values == values.max())
    ]
    expected = (LEFT + SPACING * column, FRONT + SPACING * row, 10)
    assert any(np.allclose(point, expected) for point in hottest)
