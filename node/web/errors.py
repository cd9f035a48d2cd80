"""Requests that are refused, each with its status (RFC 9110 section 15, PS3.18 section 8.5).

The message is the body of the answer: it says what happened and what to do, and never repeats what was sent.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from node.domain.errors import (
    GroundglassError,
    ObjectDamaged,
    ObjectMissing,
    OutOfSpace,
    QueryMalformed,
    StoreError,
    UnknownSubject,
    UnsupportedTransferSyntax,
)


class RequestRefused(GroundglassError):
    """A request that is not served; each subclass has its status."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR


class BadRequest(RequestRefused):
    """The request is malformed."""

    status = HTTPStatus.BAD_REQUEST


class Unauthorized(RequestRefused):
    """The token is absent or another one."""

    status = HTTPStatus.UNAUTHORIZED


class Forbidden(RequestRefused):
    """The caller may not do this here."""

    status = HTTPStatus.FORBIDDEN


class NotFound(RequestRefused):
    """There is no such resource."""

    status = HTTPStatus.NOT_FOUND


class MethodNotAllowed(RequestRefused):
    """The resource is there, and the method is none of its own.

    Parameters
    ----------
    allowed : str
        Those that are, as the header Allow says it.
    """

    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, allowed: str) -> None:
        super().__init__(f"this resource has {allowed}")
        self.allowed = allowed


class NotAcceptable(RequestRefused):
    """The resource is there, and in none of the forms that the client accepts."""

    status = HTTPStatus.NOT_ACCEPTABLE


class TooLarge(RequestRefused):
    """The request is larger than the limits."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMediaType(RequestRefused):
    """What was sent is in a form that is not taken."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Misdirected(RequestRefused):
    """The request names another host."""

    status = HTTPStatus.MISDIRECTED_REQUEST


class Busy(RequestRefused):
    """The request cannot be served now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retryable = True


STATUSES: tuple[tuple[type[GroundglassError], HTTPStatus], ...] = (
    (QueryMalformed, HTTPStatus.BAD_REQUEST),
    (UnsupportedTransferSyntax, HTTPStatus.NOT_ACCEPTABLE),
    (ObjectMissing, HTTPStatus.NOT_FOUND),
    (ObjectDamaged, HTTPStatus.NOT_FOUND),
    (UnknownSubject, HTTPStatus.NOT_FOUND),
    (OutOfSpace, HTTPStatus.INSUFFICIENT_STORAGE),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""Of errors that come from below; the first that fits."""


def status_of(error: Exception) -> HTTPStatus:
    """Return the status that tells of an error."""
    if isinstance(error, RequestRefused):
        return error.status
    if isinstance(error, FileNotFoundError):  # an object that was removed while it was about to be read
        return HTTPStatus.NOT_FOUND
    if not isinstance(error, GroundglassError):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    rest = HTTPStatus.SERVICE_UNAVAILABLE if error.retryable else HTTPStatus.INTERNAL_SERVER_ERROR
    return next((status for kind, status in STATUSES if isinstance(error, kind)), rest)


def refusal(_request: Request, error: Exception) -> Response:
    """Return the answer that tells of an error.

    Only messages that were written for callers leave: that of another error may name a file.
    """
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        return PlainTextResponse(f"{status.phrase}\n", status, headers=error.headers)
    status = status_of(error)
    text = str(error) if isinstance(error, RequestRefused | QueryMalformed) else status.phrase
    headers = {"WWW-Authenticate": "Bearer"} if status is HTTPStatus.UNAUTHORIZED else {}  # RFC 6750
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allowed  # RFC 9110 section 15.5.6
    return PlainTextResponse(f"{text}\n", status, headers=headers)
