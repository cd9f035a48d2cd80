"""Answers in DICOM JSON: streamed, and compressed where the client takes it (PS3.18 section 8.7)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Final, Protocol

import brotli
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from node.web.errors import NotAcceptable
from node.web.negotiation import accepted, quality_of

DICOM_JSON: Final = "application/dicom+json"
JSON: Final = "application/json"
GZIP: Final = 16 + zlib.MAX_WBITS
GZIP_LEVEL: Final = 4
BROTLI_QUALITY: Final = 4
VARY: Final = "Accept, Accept-Encoding"
AT_ONCE: Final = 1 << 20
"""Bytes of a body that is made before it is sent."""
_CODING = re.compile(r"\s*([A-Za-z0-9*-]+)\s*(?:;\s*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*)?")


class Packer(Protocol):
    """Compresses what comes piece by piece."""

    def pack(self, piece: bytes) -> bytes:
        """Return what is ready."""
        ...

    def end(self) -> bytes:
        """Return the rest."""
        ...


class _Gzip:
    def __init__(self) -> None:
        self._state = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP)

    def pack(self, piece: bytes) -> bytes:
        return self._state.compress(piece)

    def end(self) -> bytes:
        return self._state.flush()


class _Brotli:
    def __init__(self) -> None:
        self._state = brotli.Compressor(mode=brotli.MODE_TEXT, quality=BROTLI_QUALITY)

    def pack(self, piece: bytes) -> bytes:
        return bytes(self._state.process(piece))

    def end(self) -> bytes:
        return bytes(self._state.finish())


PACKERS: Final[Mapping[str, Callable[[], Packer]]] = {"br": _Brotli, "gzip": _Gzip}
"""By content coding, the better one first."""


def json_type(request: Request) -> str:
    """Return the media type in which JSON is answered.

    Raises
    ------
    NotAcceptable
        The client accepts no JSON, or not in UTF-8.
    """
    ranges = accepted(request)
    liked = max((DICOM_JSON, JSON), key=lambda item: quality_of(ranges, item))
    if quality_of(ranges, liked) <= 0:
        raise NotAcceptable(f"this is answered as {DICOM_JSON} alone")
    charsets = {item.parameters.get("charset", "utf-8").lower() for item in ranges if item.covers(liked)}
    if not charsets & {"utf-8", "*"}:
        raise NotAcceptable("JSON is answered in UTF-8 alone (RFC 8259 section 8.1)")
    return liked


def json_answer(
    request: Request, media_type: str, pieces: Iterable[bytes], headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer whose body is made while it is sent, unless it is short.

    Parameters
    ----------
    request : Request
    media_type : str
        Of `json_type`.
    pieces : iterable of bytes
        The body; taken in threads of the pool.
    headers : mapping of str to str, optional
    """
    coding = _coding(request)
    sent = {"Vary": VARY, **(headers or {})}
    if coding:
        sent["Content-Encoding"] = coding
        pieces = _packed(pieces, PACKERS[coding]())
    rest = iter(pieces)
    begun, size = [], 0
    for piece in rest:
        begun.append(piece)
        size += len(piece)
        if size > AT_ONCE:
            return StreamingResponse(chain(begun, rest), headers=sent, media_type=media_type)
    return Response(b"".join(begun), headers=sent, media_type=media_type)


def array(pages: Iterable[list[bytes]]) -> Iterator[bytes]:
    """Yield a JSON array of what pages hold, a piece for each page."""
    before = b"["
    for page in pages:
        if page:
            yield before + b",".join(page)
            before = b","
    yield b"]" if before == b"," else b"[]"


def _packed(pieces: Iterable[bytes], packer: Packer) -> Iterator[bytes]:
    for piece in pieces:
        ready = packer.pack(piece)
        if ready:
            yield ready
    yield packer.end()


def _coding(request: Request) -> str:
    """Return the content coding that is used, empty for none (RFC 9110 section 12.5.3)."""
    text = ",".join(request.headers.getlist("accept-encoding"))[:1024]
    liked: dict[str, float] = {}
    for part in text.split(","):
        found = _CODING.fullmatch(part)
        if found is not None:
            liked[found[1].lower()] = float(found[2] or 1)
    rest = liked.get("*", 0.0)
    ranked = sorted(PACKERS, key=lambda name: -liked.get(name, rest))
    return ranked[0] if liked.get(ranked[0], rest) > 0 else ""
