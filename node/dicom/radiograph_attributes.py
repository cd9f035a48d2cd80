"""What is read of a radiograph beyond the index: its view, and its greyscale transformations (PS3.3 C.11)."""

from __future__ import annotations

import math
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from node.dicom.elements import Attributes, Element, Wanted
from node.dicom.part10 import scan
from node.dicom.tags import Tag
from node.domain.errors import GreyscaleUnknown
from node.domain.radiograph import DisplayShutter, RadiographView
from node.imaging.greyscale import Greyscale, LookUpTable, Rescale, Window, WindowFunction


class RadiographTag(IntEnum):
    """Attributes of radiographs, by keyword (PS3.6)."""

    CodeValue = 0x00080100
    PresentationIntentType = 0x00080068
    ImagerPixelSpacing = 0x00181164
    ShutterShape = 0x00181600
    ShutterLeftVerticalEdge = 0x00181602
    ShutterRightVerticalEdge = 0x00181604
    ShutterUpperHorizontalEdge = 0x00181606
    ShutterLowerHorizontalEdge = 0x00181608
    CenterOfCircularShutter = 0x00181610
    RadiusOfCircularShutter = 0x00181612
    VerticesOfThePolygonalShutter = 0x00181620
    ViewPosition = 0x00185101
    PatientOrientation = 0x00200020
    PixelAspectRatio = 0x00280034
    WindowCenter = 0x00281050
    WindowWidth = 0x00281051
    VOILUTFunction = 0x00281056
    ModalityLUTSequence = 0x00283000
    LUTDescriptor = 0x00283002
    LUTData = 0x00283006
    VOILUTSequence = 0x00283010
    ViewCodeSequence = 0x00540220
    PresentationLUTShape = 0x20500020


SEQUENCES = frozenset(
    {RadiographTag.ModalityLUTSequence, RadiographTag.VOILUTSequence, RadiographTag.ViewCodeSequence}
)
WANTED = Wanted(
    values=frozenset(RadiographTag) - SEQUENCES
    | {
        Tag.PhotometricInterpretation,
        Tag.PixelRepresentation,
        Tag.PixelSpacing,
        Tag.RescaleIntercept,
        Tag.RescaleSlope,
    },
    sequences=SEQUENCES,
    largest_value=1 << 17,
)
"""A look-up table has up to 65536 entries of two bytes."""
ALL_ENTRIES = 1 << 16
"""Meant by 0 in the first value of LUTDescriptor (PS3.3 C.11.1.1.1)."""
LUT_BITS = range(8, 17)
MONOCHROME1 = "MONOCHROME1"
MOST_SIDE = 1 << 16
"""Rows and Columns have 16 bits (PS3.3 C.7.6.3)."""
MOST_VERTICES = 1024
"""Of a polygonal shutter; collimators have four blades, those drawn by hand some dozen corners."""


def read_attributes(path: Path) -> Attributes:
    """Read the attributes that this module understands.

    Raises
    ------
    NotDicom, TruncatedObject, ObjectTooLarge
    """
    with path.open("rb") as stream:
        return scan(stream, WANTED).attributes


def view_of(attributes: Attributes) -> RadiographView:
    """Return the view; what is malformed is absent."""
    code = next(iter(attributes.items(RadiographTag.ViewCodeSequence)), None)
    spacing = _spacing(attributes, Tag.PixelSpacing) or _spacing(attributes, RadiographTag.ImagerPixelSpacing)
    return RadiographView(
        view_position=attributes.text(RadiographTag.ViewPosition).upper(),
        view_code="" if code is None else code.text(RadiographTag.CodeValue).upper(),
        patient_orientation=tuple(
            value.upper() for value in attributes.texts(RadiographTag.PatientOrientation)
        ),
        presentation_intent=attributes.text(RadiographTag.PresentationIntentType).upper(),
        presentation_lut_shape=attributes.text(RadiographTag.PresentationLUTShape).upper(),
        pixel_spacing=spacing,
        pixel_aspect=_spacing(attributes, RadiographTag.PixelAspectRatio) if spacing is None else None,
        shutter=_shutter(attributes),
        windowed=_voi(attributes, signed=False) is not None,
    )


def _shutter(attributes: Attributes) -> DisplayShutter | None:
    """Return the shutter of the shapes that ShutterShape names and that can be read."""
    named = {value.upper() for value in attributes.texts(RadiographTag.ShutterShape)}
    found = DisplayShutter(
        rectangle=_rectangle(attributes) if "RECTANGULAR" in named else None,
        circle=_circle(attributes) if "CIRCULAR" in named else None,
        polygon=_polygon(attributes) if "POLYGONAL" in named else (),
    )
    return found if found.shapes else None


def _rectangle(attributes: Attributes) -> tuple[int, int, int, int] | None:
    edges = (
        RadiographTag.ShutterUpperHorizontalEdge,
        RadiographTag.ShutterLowerHorizontalEdge,
        RadiographTag.ShutterLeftVerticalEdge,
        RadiographTag.ShutterRightVerticalEdge,
    )
    found = [attributes.numbers(edge, 1) for edge in edges]
    upper, lower, left, right = (math.nan if item is None else item[0] for item in found)
    if not (upper <= lower and left <= right):
        return None
    return _pixel(upper), _pixel(lower), _pixel(left), _pixel(right)


def _circle(attributes: Attributes) -> tuple[int, int, int] | None:
    centre = attributes.numbers(RadiographTag.CenterOfCircularShutter, 2)
    radius = attributes.number(RadiographTag.RadiusOfCircularShutter)
    if centre is None or radius is None or radius <= 0:
        return None
    return _pixel(centre[0]), _pixel(centre[1]), _pixel(radius)


def _polygon(attributes: Attributes) -> tuple[tuple[int, int], ...]:
    count = len(attributes.texts(RadiographTag.VerticesOfThePolygonalShutter))
    values = attributes.numbers(RadiographTag.VerticesOfThePolygonalShutter, count)
    if values is None or count % 2 or not 6 <= count <= 2 * MOST_VERTICES:
        return ()
    return tuple((_pixel(row), _pixel(column)) for row, column in zip(values[::2], values[1::2], strict=True))


def _pixel(value: float) -> int:
    """Return a row or column; beyond every image there is nothing to tell apart."""
    return int(min(max(value, -MOST_SIDE), MOST_SIDE))


def greyscale_of(attributes: Attributes) -> Greyscale:
    """Return how the stored values become grey levels.

    Of several windows or look-up tables, which are alternative views (PS3.3 C.11.2.1.2), the first one is
    taken, and a table rather than a window. One that is malformed counts as absent.

    Raises
    ------
    GreyscaleUnknown
        The modality transformation is malformed.
    """
    signed = attributes.unsigned(Tag.PixelRepresentation) == 1
    modality = _modality(attributes, signed=signed)
    # The input of a VOI LUT has the sign of what comes before it (PS3.3 C.11.2.1.1).
    below_zero = signed or (isinstance(modality, Rescale) and min(modality.slope, modality.intercept) < 0)
    return Greyscale(
        modality=modality,
        voi=_voi(attributes, signed=below_zero and not isinstance(modality, LookUpTable)),
        inverted=attributes.text(Tag.PhotometricInterpretation) == MONOCHROME1,
    )


def _modality(attributes: Attributes, *, signed: bool) -> Rescale | LookUpTable:
    tables = attributes.items(RadiographTag.ModalityLUTSequence)
    if tables:
        table = look_up_table(tables[0], signed=signed)
        if table is None:
            raise GreyscaleUnknown("the Modality LUT is malformed; let the sender correct the image")
        return table
    if Tag.RescaleSlope not in attributes and Tag.RescaleIntercept not in attributes:
        return Rescale(slope=1, intercept=0)
    slope, intercept = attributes.number(Tag.RescaleSlope), attributes.number(Tag.RescaleIntercept)
    if not slope or intercept is None:
        raise GreyscaleUnknown(
            "RescaleSlope or RescaleIntercept is malformed; let the sender correct the image"
        )
    return Rescale(slope=slope, intercept=intercept)


def _voi(attributes: Attributes, *, signed: bool) -> Window | LookUpTable | None:
    tables = attributes.items(RadiographTag.VOILUTSequence)
    table = look_up_table(tables[0], signed=signed) if tables else None
    if table is not None:
        return table
    center = _first_number(attributes, RadiographTag.WindowCenter)
    width = _first_number(attributes, RadiographTag.WindowWidth)
    name = attributes.text(RadiographTag.VOILUTFunction).upper() or WindowFunction.LINEAR
    if center is None or width is None or name not in set(WindowFunction):
        return None
    try:
        return Window(center=center, width=width, function=WindowFunction(name))
    except ValueError:
        return None


def look_up_table(item: Attributes, *, signed: bool) -> LookUpTable | None:
    """Return the table of an item with LUTDescriptor and LUTData, None where it is malformed."""
    descriptor = _words(item, RadiographTag.LUTDescriptor)
    data = item.elements.get(RadiographTag.LUTData)
    if descriptor is None or len(descriptor) != 3 or data is None:
        return None
    count, first, bits = (int(value) for value in descriptor)
    count = count or ALL_ENTRIES
    entries = _entries(data, count, item.encoding.order)
    if bits not in LUT_BITS or entries is None or int(entries.max()) >> bits:
        return None
    if signed and first >= ALL_ENTRIES // 2:
        first -= ALL_ENTRIES
    return LookUpTable(first=first, entries=entries, bits=bits)


def _entries(data: Element, count: int, order: str) -> NDArray[np.uint16] | None:
    """Return the entries, one in two bytes or, of 8 bits, one in each byte; None for another length."""
    if len(data.value) == 2 * count:
        return np.frombuffer(data.value, dtype=f"{order}u2").astype(np.uint16)
    if len(data.value) == count + count % 2:
        return np.frombuffer(data.value[:count], dtype=np.uint8).astype(np.uint16)
    return None


def _words(attributes: Attributes, tag: int) -> NDArray[np.uint16] | None:
    element = attributes.elements.get(tag)
    if element is None or len(element.value) % 2:
        return None
    return np.frombuffer(element.value, dtype=f"{attributes.encoding.order}u2").astype(np.uint16)


def _first_number(attributes: Attributes, tag: int) -> float | None:
    values = attributes.texts(tag)
    try:
        value = float(values[0]) if values else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _spacing(attributes: Attributes, tag: int) -> tuple[float, float] | None:
    values = attributes.numbers(tag, 2)
    return (values[0], values[1]) if values is not None and min(values) > 0 else None
