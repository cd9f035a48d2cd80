"""WADO-RS: frames as pictures for programs that show no DICOM (PS3.18 sections 8.3.5, 10.4.1.3, 10.4.1.4)."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from node.dicom.codecs import Codecs
from node.dicom.displayed import DisplayedImage
from node.domain.errors import DicomError
from node.domain.network import Right
from node.domain.ports import ObjectPlaces
from node.imaging.greyscale import Window, WindowFunction
from node.imaging.viewing import JPEG, PNG, Region, Viewport, fitted, picture_file
from node.store.stored_instances import StoredInstance, StoredInstances
from node.web.errors import BadRequest, NotAcceptable, NotFound
from node.web.frames import frame_numbers
from node.web.held import Held
from node.web.negotiation import accepted, quality_of
from node.web.resources import Resource, scope_of
from node.web.streaming import unchanged
from node.web.threads import Threads
from node.web.wado import INSTANCE, SERIES, STUDY, headers_of, instances_of, representation

FRAMES: Final = INSTANCE + "/frames/{frames}"
DEFAULT_QUALITY: Final = 90
THUMBNAIL: Final = Viewport(width=256, height=256)
LARGEST_VIEWPORT: Final = 8192
"""Pixels of a side."""
MOST_VIEWPORT_PIXELS: Final = 1 << 25
"""The largest displays have 7680 x 4320."""
NUMBER: Final = re.compile(r"[+-]?[0-9]{1,9}(\.[0-9]{0,9})?([eE][+-]?[0-9])?")
FUNCTIONS: Final = {
    "linear": WindowFunction.LINEAR,
    "linear-exact": WindowFunction.LINEAR_EXACT,
    "sigmoid": WindowFunction.SIGMOID,
}
"""Names of PS3.18 section 8.3.5.1.4; those of VOILUTFunction are taken, too."""
REFUSED: Final = {
    "annotation": "annotations are not burned into pictures; show them beside it",
    "presentationUID": "presentation states are not applied",
    "presentationSeriesUID": "presentation states are not applied",
}
WITHOUT_PICTURE: Final = (
    "1.2.840.10008.5.1.4.1.1.11.",  # presentation states
    "1.2.840.10008.5.1.4.1.1.88.",  # structured reports
    "1.2.840.10008.5.1.4.1.1.9.",  # waveforms
    "1.2.840.10008.5.1.4.1.1.66",  # registrations, segmentations, surfaces, real world values
    "1.2.840.10008.5.1.4.1.1.104.",  # encapsulated documents
    "1.2.840.10008.5.1.4.1.1.481.",  # radiotherapy
)
"""Beginnings of SOP classes that stand for no study or series."""
AT_ONCE: Final = 4
"""Pictures that are made at the same time; each takes several times the memory of a frame."""
LARGE: Final = 1 << 22
"""Pixels of a frame or viewport beyond which a picture is made while no other such one is."""


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """How a picture is to be made."""

    media_type: str
    viewport: Viewport | None
    """None for as many pixels as there are."""
    window: Window | None
    """None for that of the image."""
    quality: int
    """Of JPEG, from 1 to 100."""


def rendering_of(parameters: Mapping[str, str], media_type: str, *, thumbnail: bool) -> Rendering:
    """Return what the query parameters ask for (PS3.18 section 8.3.5).

    Parameters
    ----------
    parameters : mapping of str to str
    media_type : str
        What was negotiated.
    thumbnail : bool
        Whether the picture is small unless something else is said.

    Raises
    ------
    BadRequest
    """
    for name, reason in REFUSED.items():
        if name in parameters:
            raise BadRequest(reason)
    if parameters.get("iccprofile", "no") != "no":
        raise BadRequest("pictures are given without a profile of colours; ask for iccprofile=no")
    viewport = _viewport(parameters["viewport"]) if "viewport" in parameters else None
    return Rendering(
        media_type=media_type,
        viewport=viewport or (THUMBNAIL if thumbnail else None),
        window=_window(parameters["window"]) if "window" in parameters else None,
        quality=_quality(parameters.get("quality", "")),
    )


class RenderedResource:
    """Serves pictures.

    Parameters
    ----------
    stored : StoredInstances
        The index.
    files : ObjectPlaces
        The objects.
    codecs : Codecs
        Who decodes compressed pixels.
    """

    def __init__(self, stored: StoredInstances, files: ObjectPlaces, codecs: Codecs) -> None:
        self._stored = stored
        self._files = files
        self._codecs = codecs
        self._threads = Threads(AT_ONCE, "rendering")
        self._held = Held()
        self._large_room = threading.BoundedSemaphore(1)

    def resources(self) -> tuple[Resource, ...]:
        """Return what is served."""
        kinds = {"/rendered": self._rendered, "/thumbnail": self._thumbnail}
        return tuple(
            Resource(
                path=path + end, method="GET", right=Right.RETRIEVE, answer=answer, threads=self._threads
            )
            for path in (STUDY, SERIES, INSTANCE, FRAMES)
            for end, answer in kinds.items()
        )

    def _rendered(self, request: Request) -> Response:
        return self._answer(request, thumbnail=False)

    def _thumbnail(self, request: Request) -> Response:
        return self._answer(request, thumbnail=True)

    def _answer(self, request: Request, *, thumbnail: bool) -> Response:
        ranges = accepted(request)
        media_type = max((JPEG, PNG), key=lambda item: quality_of(ranges, item))
        if not quality_of(ranges, media_type):
            raise NotAcceptable(f"pictures are given as {JPEG} and {PNG}")
        how = rendering_of(request.query_params, media_type, thumbnail=thumbnail)
        frame = _one_frame(request)
        instance = representative(instances_of(self._stored, scope_of(request)))
        name = representation(instance.object_key, str(frame), repr(how))
        headers = headers_of(name, media_type)
        known = unchanged(request, headers)
        if known is not None:
            return known
        return self._held.answer(self._made(instance, frame, how), headers)

    def _made(self, instance: StoredInstance, frame: int | None, how: Rendering) -> bytes:
        """Return the file of a picture; of the frame that stands for all where none is named."""
        try:
            image = DisplayedImage(self._files.path(instance.object_key, instance.size), self._codecs)
            number = image.representative if frame is None else frame
            if number > image.number_of_frames:
                raise NotFound("the object has no such frame")
            shown = how.viewport.width * how.viewport.height if how.viewport is not None else 0
            with self._large_room if max(image.pixels, shown) > LARGE else nullcontext():
                picture = image.picture(number, how.window)
                if how.viewport is not None:
                    picture = fitted(picture, how.viewport)
                return picture_file(picture, how.media_type, quality=how.quality)
        except DicomError as error:
            raise NotAcceptable("the object is no image, or none that a picture can be made of") from error
        except ValueError as error:
            raise BadRequest("the region of the viewport lies beyond the image") from error


def representative(found: Sequence[StoredInstance]) -> StoredInstance:
    """Return the instance that stands for several: the middle one of their longest series of images."""
    series: dict[str, list[StoredInstance]] = {}
    for item in found:
        if len(found) == 1 or not item.sop_class_uid.startswith(WITHOUT_PICTURE):
            series.setdefault(item.series_instance_uid, []).append(item)
    if not series:
        raise NotAcceptable("there is no image here that a picture can be made of")
    longest = max(series.values(), key=len)
    return longest[len(longest) // 2]


def _one_frame(request: Request) -> int | None:
    if "frames" not in request.path_params:
        return None
    numbers = frame_numbers(str(request.path_params["frames"]))
    if len(numbers) > 1:
        raise NotAcceptable("pictures are given one at a time; ask for each frame by itself")
    return numbers[0]


def _viewport(text: str) -> Viewport:
    """Return ``width,height`` or ``width,height,left,top,columns,rows`` (PS3.18 section 8.3.5.1.3)."""
    values = text.split(",")
    if len(values) not in {2, 6}:
        raise BadRequest("viewport is width,height or width,height,left,top,columns,rows")
    width, height = (_number(value, "viewport") for value in values[:2])
    if not (1 <= width <= LARGEST_VIEWPORT and 1 <= height <= LARGEST_VIEWPORT):
        raise BadRequest(f"width and height of a viewport are from 1 to {LARGEST_VIEWPORT}")
    if width * height > MOST_VIEWPORT_PIXELS:
        raise BadRequest(f"a viewport has at most {MOST_VIEWPORT_PIXELS} pixels")
    viewport = Viewport(width=int(width), height=int(height))
    if len(values) == 2:
        return viewport
    left, top, columns, rows = (_number(value, "viewport") for value in values[2:])
    if not columns or not rows:
        raise BadRequest("the region of a viewport has columns and rows")
    return replace(viewport, region=Region(left=left, top=top, width=columns, height=rows))


def _window(text: str) -> Window:
    """Return ``center,width,function`` (PS3.18 section 8.3.5.1.4)."""
    values = text.split(",")
    if len(values) not in {2, 3}:
        raise BadRequest("window is center,width,function")
    center, width = (_number(value, "window") for value in values[:2])
    name = values[2].strip().lower().replace("_", "-") if len(values) == 3 else "linear"
    if name not in FUNCTIONS:
        raise BadRequest(f"the function of a window is one of {', '.join(FUNCTIONS)}")
    try:
        return Window(center=center, width=width, function=FUNCTIONS[name])
    except ValueError as error:
        raise BadRequest("a window of this width shows nothing") from error


def _quality(text: str) -> int:
    if not text:
        return DEFAULT_QUALITY
    value = _number(text, "quality")
    if not (1 <= value <= 100 and value.is_integer()):
        raise BadRequest("quality is a whole number from 1 to 100")
    return int(value)


def _number(text: str, name: str) -> float:
    if NUMBER.fullmatch(text.strip()) is None:
        raise BadRequest(f"{name} holds what is no number")
    return float(text)
