"""WADO-RS: what the metadata of an instance leave out, by its place (PS3.18 section 10.4.1.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from node.dicom.bulk_values import find_value
from node.dicom.elements import PIXEL_DATA
from node.domain.errors import DicomError
from node.domain.network import Right
from node.domain.ports import ObjectPlaces
from node.store.stored_instances import StoredInstances
from node.web.errors import NotAcceptable, NotFound
from node.web.frames import FrameResource, opened
from node.web.media import OCTETS
from node.web.multipart import closing, multipart_type, part_head
from node.web.negotiation import MULTIPART, MediaRange, accepted
from node.web.resources import Resource
from node.web.streaming import body_of, unchanged
from node.web.wado import INSTANCE, headers_of, instance_of, refused_decoding, representation

TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
ITEM_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")
LONGEST_PLACE: Final = 512


def place_of(text: str) -> tuple[int, ...] | None:
    """Return the place of a value: tags, the number of an item (from 1) between two; None for no place."""
    if len(text) > LONGEST_PLACE:
        return None
    steps = text.split("/")
    if not (
        len(steps) % 2
        and all(map(TAG.fullmatch, steps[::2]))
        and all(map(ITEM_NUMBER.fullmatch, steps[1::2]))
    ):
        return None
    return tuple(int(step, 10 if at % 2 else 16) for at, step in enumerate(steps))


class BulkDataResource:
    """Serves single values.

    Parameters
    ----------
    stored : StoredInstances
        The index.
    files : ObjectPlaces
        The objects.
    frames : FrameResource
        Gives compressed pixel data, a part for each frame.
    """

    def __init__(self, stored: StoredInstances, files: ObjectPlaces, frames: FrameResource) -> None:
        self._stored = stored
        self._files = files
        self._frames = frames

    def resources(self) -> tuple[Resource, ...]:
        """Return what is served."""
        return (
            Resource(
                path=INSTANCE + "/bulkdata/{place:path}",
                method="GET",
                right=Right.RETRIEVE,
                answer=self._retrieve,
            ),
        )

    def _retrieve(self, request: Request) -> Response:
        place = place_of(str(request.path_params["place"]))
        if place is None:
            raise NotFound("the path names no element of an instance")
        instance = instance_of(self._stored, request)
        path = self._files.path(instance.object_key, instance.size)
        if len(place) == 1 and place[0] in PIXEL_DATA:
            frames = opened(path)
            if frames.encapsulated:
                return self._frames.answer(request, instance, frames, range(1, frames.number_of_frames + 1))
        multipart = _in_parts(accepted(request))
        name = representation(instance.object_key, str(multipart), *map(str, place))
        headers = headers_of(name, multipart_type(OCTETS, name) if multipart else OCTETS)
        known = unchanged(request, headers)
        if known is not None:
            return known
        with refused_decoding():
            length = _length(path, place)
            head = part_head(name, OCTETS, length=length, first=True) if multipart else b""
            tail = closing(name) if multipart else b""
            return body_of(
                _body(path, place, head, tail), headers=headers, length=len(head) + length + len(tail)
            )


def _in_parts(ranges: tuple[MediaRange, ...]) -> bool:
    """Return whether the value is the one part of a body of parts, or the body itself."""
    for item in ranges:
        if not item.quality:
            continue
        if item.type in {MULTIPART, "multipart/*"} and MediaRange(type=item.root or "*/*").covers(OCTETS):
            return True
        if item.covers(OCTETS):
            return False
    raise NotAcceptable(f"bulk data are given as {OCTETS}")


def _length(path: Path, place: tuple[int, ...]) -> int:
    try:
        with path.open("rb") as stream:
            found = find_value(stream, place)
    except DicomError as error:
        raise NotFound("the instance cannot be read up to this element") from error
    if found is None:
        raise NotFound("the instance has no such element, or one without a value of its own")
    return found.length


def _body(path: Path, place: tuple[int, ...], head: bytes, tail: bytes) -> Iterator[bytes]:
    yield head
    with path.open("rb") as stream:
        found = find_value(stream, place)
        if found is not None:
            yield from found.pieces()
    yield tail
