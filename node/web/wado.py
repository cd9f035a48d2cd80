"""WADO-RS: studies, series and instances as they are stored, or in another transfer syntax (PS3.18 10.4)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from node.dicom.transcode import Transcoder
from node.domain.errors import DicomError, ObjectDamaged, ObjectMissing
from node.domain.network import Right
from node.domain.ports import ObjectPlaces
from node.store.stored_instances import Scope, StoredInstance, StoredInstances
from node.web.errors import NotAcceptable, NotFound
from node.web.file_sending import FilePart, FilesResponse
from node.web.media import DICOM, Form, dicom_form
from node.web.multipart import closing, multipart_type, part_head
from node.web.negotiation import accepted
from node.web.resources import Resource, scope_of
from node.web.streaming import REVALIDATED, SHORT, body_of, file_pieces, unchanged

logger = logging.getLogger(__name__)

STUDY: Final = "/studies/{study}"
SERIES: Final = STUDY + "/series/{series}"
INSTANCE: Final = SERIES + "/instances/{instance}"
PARTIAL: Final = '299 groundglass "some instances cannot be given, or not in an accepted transfer syntax"'
"""Warning of an answer with status 206 (PS3.18 section 10.4.3.2)."""


def instances_of(stored: StoredInstances, scope: Scope) -> list[StoredInstance]:
    """Return the instances of a study or series, or one alone.

    Raises
    ------
    NotFound
        There are none.
    """
    if scope.sop_instance_uid:  # no other can have its name
        first = stored.first(scope)
        found = [] if first is None else [first]
    else:
        found = list(chain.from_iterable(stored.pages(scope)))
    if not found:
        raise NotFound("nothing is stored under this name")
    return found


def instance_of(stored: StoredInstances, request: Request) -> StoredInstance:
    """Return the instance that a path names.

    Raises
    ------
    BadRequest, NotFound
    """
    return instances_of(stored, scope_of(request))[0]


def representation(*of: str) -> str:
    """Return the name of one representation, made of the digests of its content and of how it is given.

    It is the entity tag, and the boundary of the parts: no part can hold the digest of itself.
    """
    return hashlib.sha256("\n".join(of).encode("utf-8", "surrogateescape")).hexdigest()


def headers_of(name: str, content_type: str) -> dict[str, str]:
    """Return the headers of a representation."""
    return {
        "Content-Type": content_type,
        "ETag": f'"{name}"',
        "Vary": "Accept",
        "Cache-Control": REVALIDATED,
    }


@contextmanager
def refused_decoding() -> Iterator[None]:
    """Say to the client what a stored object cannot be made into."""
    try:
        yield
    except DicomError as error:
        logger.warning("an object cannot be given in another form: %s", error)
        raise NotAcceptable(
            "the stored object cannot be given in this form; ask for it with transfer-syntax=*"
        ) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """One instance on its way."""

    instance: StoredInstance
    path: Path
    form: Form
    head: bytes
    """What stands before it; empty where it is the body itself."""

    @property
    def as_stored(self) -> bool:
        """Whether the file goes out as it is."""
        return self.form.transfer_syntax_uid == self.instance.transfer_syntax_uid


class WadoResource:
    """Serves stored objects.

    Parameters
    ----------
    stored : StoredInstances
        The index.
    files : ObjectPlaces
        The objects.
    transcoder : Transcoder
        Gives an object in a transfer syntax that it is not stored in.
    """

    def __init__(self, stored: StoredInstances, files: ObjectPlaces, transcoder: Transcoder) -> None:
        self._stored = stored
        self._files = files
        self._transcoder = transcoder

    def resources(self) -> tuple[Resource, ...]:
        """Return what is served."""
        return tuple(
            Resource(path=path, method="GET", right=Right.RETRIEVE, answer=self._retrieve)
            for path in (STUDY, SERIES, INSTANCE)
        )

    def _retrieve(self, request: Request) -> Response:
        found = instances_of(self._stored, scope_of(request))
        paths = self._paths(found)
        forms = self._forms(request, [item for item in found if item.object_key in paths])
        given = [(item, form) for item in found if (form := forms.get(item.object_key)) is not None]
        if not given:
            raise NotAcceptable("nothing here can be given in a transfer syntax that is accepted")
        multipart = given[0][1].multipart
        name = representation(
            str(multipart), *chain.from_iterable((item.object_key, form.content_type) for item, form in given)
        )
        headers = headers_of(name, multipart_type(DICOM, name) if multipart else given[0][1].content_type)
        known = unchanged(request, headers)
        if known is not None:
            return known
        if len(given) < len(found):
            headers["Warning"] = PARTIAL
        parts = [
            _Part(
                instance=item,
                path=paths[item.object_key],
                form=form,
                head=_head(name, item, form, first=not number),
            )
            for number, (item, form) in enumerate(given)
        ]
        tail = closing(name) if multipart else b""
        length = sum(len(part.head) + part.instance.size for part in parts) + len(tail)
        as_stored = all(part.as_stored for part in parts)
        status = 200 if len(given) == len(found) else 206
        if as_stored and length > SHORT:
            files = (FilePart(head=part.head, path=part.path, size=part.instance.size) for part in parts)
            return FilesResponse(files, tail, headers=headers, length=length, status_code=status)
        with refused_decoding():
            return body_of(
                chain(self._bytes(parts), (tail,)),
                headers=headers,
                length=length if as_stored else None,
                status_code=status,
            )

    def _paths(self, found: Sequence[StoredInstance]) -> dict[str, Path]:
        """Return the files that are there, and as long as they were stored, by the keys of their objects.

        Raises
        ------
        ObjectMissing, ObjectDamaged
            None is.
        """
        paths = {}
        missing: ObjectMissing | ObjectDamaged | None = None
        for item in found:
            try:
                paths[item.object_key] = self._files.path(item.object_key, item.size)
            except (ObjectMissing, ObjectDamaged) as error:
                logger.error("an instance is not served: %s", error)  # noqa: TRY400 - the message says it all
                missing = error
        if missing is not None and not paths:
            raise missing
        return paths

    def _forms(self, request: Request, found: Sequence[StoredInstance]) -> dict[str, Form | None]:
        """Return how each instance is given, by its key; None for one that cannot be given."""
        ranges = accepted(request)
        syntaxes = {item.transfer_syntax_uid for item in found}
        forms = {
            syntax: dicom_form(ranges, syntax, self._transcoder.possible, single=len(found) == 1)
            for syntax in syntaxes
        }
        return {item.object_key: forms[item.transfer_syntax_uid] for item in found}

    def _bytes(self, parts: Sequence[_Part]) -> Iterator[bytes]:
        for part in parts:
            yield part.head
            if part.as_stored:
                yield from file_pieces(part.path, part.instance.size)
            else:
                yield from self._transcoder.part10(part.path, part.form.transfer_syntax_uid)


def _head(boundary: str, item: StoredInstance, form: Form, *, first: bool) -> bytes:
    if not form.multipart:
        return b""
    as_stored = form.transfer_syntax_uid == item.transfer_syntax_uid
    return part_head(boundary, form.content_type, length=item.size if as_stored else None, first=first)
