"""WADO-RS: single frames, as they lie or in another transfer syntax (PS3.18 section 10.4.1.5)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from node.dicom.stored_frames import StoredFrames
from node.dicom.transcode import Transcoder
from node.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN, NATIVE
from node.domain.errors import DicomError
from node.domain.network import Right
from node.domain.ports import ObjectPlaces
from node.store.stored_instances import StoredInstance, StoredInstances
from node.web.errors import BadRequest, NotAcceptable, NotFound
from node.web.media import Form, frame_form
from node.web.multipart import closing, multipart_type, part_head
from node.web.negotiation import accepted
from node.web.resources import Resource, ServiceUrl
from node.web.streaming import body_of, unchanged
from node.web.wado import INSTANCE, headers_of, instance_of, refused_decoding, representation

logger = logging.getLogger(__name__)

FRAME_LIST: Final = re.compile(r"[0-9]{1,9}(,[0-9]{1,9})*")
MOST_FRAMES: Final = 4096
"""Frames in one request."""


def frame_numbers(text: str) -> tuple[int, ...]:
    """Return the frame numbers (from 1) of a path, in its order.

    Raises
    ------
    BadRequest
    """
    if FRAME_LIST.fullmatch(text) is None or text.count(",") >= MOST_FRAMES:
        raise BadRequest(f"the frames of the path are no list of at most {MOST_FRAMES} numbers")
    numbers = tuple(map(int, text.split(",")))
    if 0 in numbers:
        raise BadRequest("frames are numbered from 1")
    return numbers


class FrameResource:
    """Serves frames.

    Parameters
    ----------
    stored : StoredInstances
        The index.
    files : ObjectPlaces
        The objects.
    transcoder : Transcoder
        Gives a frame in a transfer syntax that it is not stored in.
    url : ServiceUrl
        For the address of each frame.
    """

    def __init__(
        self, stored: StoredInstances, files: ObjectPlaces, transcoder: Transcoder, *, url: ServiceUrl
    ) -> None:
        self._stored = stored
        self._files = files
        self._transcoder = transcoder
        self._url = url

    def resources(self) -> tuple[Resource, ...]:
        """Return what is served."""
        return (
            Resource(
                path=INSTANCE + "/frames/{frames}", method="GET", right=Right.RETRIEVE, answer=self._retrieve
            ),
        )

    def _retrieve(self, request: Request) -> Response:
        numbers = frame_numbers(str(request.path_params["frames"]))
        instance = instance_of(self._stored, request)
        frames = opened(self._files.path(instance.object_key, instance.size))
        if max(numbers) > frames.number_of_frames:
            raise NotFound("the object has no such frame")
        return self.answer(request, instance, frames, numbers)

    def answer(
        self, request: Request, instance: StoredInstance, frames: StoredFrames, numbers: Sequence[int]
    ) -> Response:
        """Return the answer with some frames of an instance.

        Raises
        ------
        NotAcceptable
        """
        form = frame_form(
            accepted(request), instance.transfer_syntax_uid, self._possible, single=len(numbers) == 1
        )
        if form is None:
            raise NotAcceptable("the frames are in no media type and transfer syntax that is accepted")
        name = representation(instance.object_key, form.content_type, str(form.multipart), repr(numbers))
        headers = headers_of(
            name, multipart_type(form.media_type, name) if form.multipart else form.content_type
        )
        known = unchanged(request, headers)
        if known is not None:
            return known
        stored, wanted = instance.transfer_syntax_uid, form.transfer_syntax_uid
        as_stored = stored == wanted or _native(stored, wanted)
        body = _Body(
            path=self._files.path(instance.object_key, instance.size),
            frames=frames,
            form=form,
            transcoder=None if as_stored else self._transcoder,
            boundary=name,
            place=self._place(request, instance),
        )
        with refused_decoding():
            return body_of(body.parts(numbers), headers=headers, length=body.length(numbers))

    def _place(self, request: Request, instance: StoredInstance) -> str:
        return (
            f"{self._url.of(request)}/studies/{instance.study_instance_uid}"
            f"/series/{instance.series_instance_uid}/instances/{instance.sop_instance_uid}/frames/"
        )

    def _possible(self, stored: str, wanted: str) -> bool:
        """Whether frames can be given so: not compressed they are the same in every native syntax."""
        return _native(stored, wanted) or self._transcoder.possible(stored, wanted)


def _native(stored: str, wanted: str) -> bool:
    """Whether frames lie as they are wanted, but for the order of their bytes."""
    return stored in NATIVE and wanted == EXPLICIT_LITTLE_ENDIAN


def opened(path: Path) -> StoredFrames:
    """Return the frames of a stored object.

    Raises
    ------
    NotFound
        It has none that can be told apart.
    """
    try:
        return StoredFrames(path)
    except DicomError as error:
        logger.info("an object has no frames that can be given: %s", error)
        raise NotFound("the object has no frames that can be given") from error


@dataclass(frozen=True, kw_only=True)
class _Body:
    """The body of one answer."""

    path: Path
    frames: StoredFrames
    form: Form
    transcoder: Transcoder | None
    """None where the frames go out as they lie."""
    boundary: str
    place: str
    """URL of a frame, without its number."""

    def length(self, numbers: Sequence[int]) -> int | None:
        """Return the bytes of the body, None where they are not known before."""
        if self.transcoder is not None or len(numbers) > MOST_FRAMES:
            return None
        content = sum(map(self.frames.size, numbers))
        if not self.form.multipart:
            return content
        heads = sum(len(self._head(number, first=not at)) for at, number in enumerate(numbers))
        return heads + content + len(closing(self.boundary))

    def parts(self, numbers: Sequence[int]) -> Iterator[bytes]:
        """Yield the body."""
        for at, number in enumerate(numbers):
            if self.form.multipart:
                yield self._head(number, first=not at)
            if self.transcoder is None:
                yield from self.frames.pieces(number)
            else:
                yield self.transcoder.frame(self.path, number, self.form.transfer_syntax_uid)
        if self.form.multipart:
            yield closing(self.boundary)

    def _head(self, number: int, *, first: bool) -> bytes:
        size = self.frames.size(number) if self.transcoder is None else None
        return part_head(
            self.boundary,
            self.form.content_type,
            length=size,
            location=f"{self.place}{number}",
            first=first,
        )
