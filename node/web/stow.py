"""STOW-RS: objects that come by HTTP (PS3.18 section 10.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from node.dimse.admission import Caller
from node.dimse.services import StorageServices
from node.domain.network import Right
from node.web.body_pipe import BodyBrokenOff, BodyPipe
from node.web.errors import BadRequest, NotAcceptable, TooLarge, UnsupportedMediaType
from node.web.multipart_reader import Event, MultipartLimits, PartBegins, PartContent, PartEnds
from node.web.negotiation import MULTIPART, MediaRange, accepted, content_type, quality_of
from node.web.resources import Resource, ServiceUrl, uid_of
from node.web.storing import DICOM, Intent, multipart_events, store
from node.web.stow_answer import ANSWER_TYPES, rendering, response_module, status_of
from node.web.streaming import SHORT
from node.web.threads import Threads
from node.web.visits import Visits


@dataclass(frozen=True, kw_only=True)
class StowLimits:
    """What a client can make big, bounded."""

    request_bytes: int
    object_bytes: int
    requests: int
    """That are stored at the same time; more wait."""
    parts: int = 10_000
    """Of one request."""


class StowResource:
    """Takes objects by HTTP.

    Parameters
    ----------
    services : StorageServices
        The station that takes the objects, as it does those of associations.
    visits : Visits
        Of its clients.
    url : ServiceUrl
    calling_ae_title : str
        Under which they are recorded as sent where the client has none of its own.
    called_ae_title : str
        Of this node.
    limits : StowLimits
    """

    def __init__(
        self,
        services: StorageServices,
        visits: Visits,
        *,
        url: ServiceUrl,
        calling_ae_title: str,
        called_ae_title: str,
        limits: StowLimits,
    ) -> None:
        self._services = services
        self._visits = visits
        self._url = url
        self._calling_ae_title = calling_ae_title
        self._called_ae_title = called_ae_title
        self._limits = limits
        self._threads = Threads(limits.requests, "storing")

    def resources(self) -> tuple[Resource, ...]:
        """Return what is served."""
        return tuple(
            Resource(path=path, method="POST", right=Right.STORE, answer=answer, threads=self._threads)
            for path, answer in (("/studies", self._store), ("/studies/{study}", self._store_to_study))
        )

    async def _store(self, request: Request) -> Response:
        return await self._answer(request, "")

    async def _store_to_study(self, request: Request) -> Response:
        return await self._answer(request, uid_of(request, "study"))

    async def _answer(self, request: Request, study_instance_uid: str) -> Response:
        """Store what a request brings; where it is refused for its headers, its body is not read."""
        answer_type = _answer_type(request)
        base = self._url.of(request)
        events = _events(request, self._limits)
        intent = Intent(
            caller=Caller(
                calling_ae_title=request.state.ae_title or self._calling_ae_title,
                called_ae_title=self._called_ae_title,
                address=request.client.host if request.client is not None else "",
            ),
            study_instance_uid=study_instance_uid,
            max_object_bytes=self._limits.object_bytes,
        )
        return await self._stored(request, partial(self._work, intent, events, answer_type, base))

    async def _stored(self, request: Request, work: Callable[[Iterable[bytes]], Response]) -> Response:
        """Let a thread work on the body: a short one when it is whole, else while the loop reads it.

        A slice of a CT is short. Its thread is waited for once instead of at each piece, and a client that is
        slow holds none.
        """
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) <= SHORT:
            try:
                body = [data async for data in request.stream()]
            except ClientDisconnect:
                return Response(status_code=BadRequest.status)  # nobody reads it
            return await self._threads.run(work, filter(None, body))
        pipe = BodyPipe()
        pouring = asyncio.create_task(_pour(request, pipe))
        try:
            return await self._threads.run(work, pipe.chunks())
        except BodyBrokenOff:
            return Response(status_code=BadRequest.status)  # nobody reads it
        finally:
            pouring.cancel()
            await asyncio.wait((pouring,))

    def _work(
        self,
        intent: Intent,
        events: Callable[[Iterable[bytes]], Iterator[Event]],
        answer_type: str,
        base: str,
        chunks: Iterable[bytes],
    ) -> Response:
        with self._visits.visit(intent.caller) as visit:
            stored = store(intent, partial(events, chunks), self._services, visit.association_id)
            visit.broken |= stored.refusal is not None
        if not stored.outcomes:
            raise stored.refusal or BadRequest("the body has no part; send at least one instance")
        module = response_module(stored, base)
        return Response(rendering(answer_type)(module), status_of(stored), media_type=answer_type)


async def _pour(request: Request, pipe: BodyPipe) -> None:
    """Read a body into a pipe."""
    try:
        async for data in request.stream():
            if data:
                await pipe.put(data)
        pipe.end()
    except ClientDisconnect:
        pass
    finally:
        pipe.break_off()


def _answer_type(request: Request) -> str:
    """Return the media type of the answer.

    Raises
    ------
    NotAcceptable, BadRequest
    """
    ranges = accepted(request)
    best = max(ANSWER_TYPES, key=lambda item: quality_of(ranges, item))
    if quality_of(ranges, best) == 0:
        raise NotAcceptable(f"the answer to a request to store is one of {', '.join(ANSWER_TYPES)}")
    return best


def _events(request: Request, limits: StowLimits) -> Callable[[Iterable[bytes]], Iterator[Event]]:
    """Return what reads the body.

    Raises
    ------
    UnsupportedMediaType, TooLarge, BadRequest
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("the body has a content encoding; send it as it is")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.request_bytes:
        raise TooLarge(f"the body is larger than {limits.request_bytes} bytes; send fewer instances at once")
    body = content_type(request.headers.get("content-type", ""))
    if body.type == DICOM:
        return lambda chunks: _single(_bounded(chunks, limits.request_bytes))
    boundary = _boundary(body)
    parts = MultipartLimits(parts=limits.parts)
    return lambda chunks: multipart_events(_bounded(chunks, limits.request_bytes), boundary, parts)


def _boundary(body: MediaRange) -> str:
    if body.type != MULTIPART or body.root not in {"", DICOM}:
        raise UnsupportedMediaType(f'send {DICOM} or {MULTIPART}; type="{DICOM}"')
    return body.parameters.get("boundary", "")


def _bounded(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise TooLarge(f"the body is larger than {most} bytes; send fewer instances at once")
        yield chunk


def _single(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Yield what a body brings that is one instance."""
    begun = False
    for chunk in chunks:
        if not begun:
            yield PartBegins(headers={})
            begun = True
        yield PartContent(data=chunk)
    if begun:
        yield PartEnds()
