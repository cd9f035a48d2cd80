"""Status codes: which one answers which error of a C-STORE, and what a peer's answer means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from node.domain.errors import (
    DicomError,
    GroundglassError,
    IdentityMismatch,
    ObjectTooLarge,
    StoreError,
)

COMMENT_MAX_LENGTH = 64  # ErrorComment (0000,0902) is LO, PS3.7 annex C


class Status(IntEnum):
    """C-STORE statuses that this node answers with (PS3.4 B.2.3)."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    MISMATCH = 0xA900
    """Data set does not match SOP class."""
    CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a C-STORE is answered with."""

    status: Status
    comment: str = ""
    """ErrorComment; what happened, without patient data."""


def answer_to(error: GroundglassError) -> Answer:
    """Return the answer to an object that was not stored because of ``error``.

    Raises
    ------
    GroundglassError
        The same error, when it is none that an object or the store can cause.
    """
    comment = str(error)[:COMMENT_MAX_LENGTH]
    if isinstance(error, ObjectTooLarge | StoreError):
        return Answer(status=Status.OUT_OF_RESOURCES, comment=comment)
    if isinstance(error, IdentityMismatch):
        return Answer(status=Status.MISMATCH, comment=comment)
    if isinstance(error, DicomError):
        return Answer(status=Status.CANNOT_UNDERSTAND, comment=comment)
    raise error


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a peer's answer to a C-STORE means for the object."""

    delivered: bool
    retryable: bool
    text: str
    warning: bool = False
    """Delivered, with a warning."""


@dataclass(frozen=True, kw_only=True)
class _Range:
    """A range of status codes: all those whose bits under ``mask`` are ``value``."""

    value: int
    mask: int = 0xFFFF
    delivered: bool = False
    retryable: bool = False
    text: str


MEANINGS = (
    _Range(value=0x0000, delivered=True, text="success"),
    _Range(value=0x0001, delivered=True, text="warning"),  # PS3.7 C.2
    _Range(value=0x0107, delivered=True, text="warning: attribute list error"),  # PS3.7 C.4.2
    _Range(value=0x0116, delivered=True, text="warning: attribute value out of range"),  # PS3.7 C.4.3
    _Range(value=0x0111, delivered=True, text="duplicate SOP instance: the peer has it"),  # PS3.7 C.5.7
    _Range(value=0x0110, retryable=True, text="processing failure"),  # PS3.7 C.5.21
    _Range(value=0x0213, retryable=True, text="resource limitation"),  # PS3.7 C.5.26
    _Range(value=0x0117, text="invalid SOP instance"),
    _Range(value=0x0122, text="SOP class not supported"),
    _Range(value=0x0124, text="not authorised"),
    _Range(value=0x0210, text="duplicate invocation"),
    _Range(value=0x0211, text="unrecognised operation"),
    _Range(value=0x0212, text="mistyped argument"),
    _Range(value=0xB000, delivered=True, text="warning: coercion of data elements"),  # PS3.4 table B.2-1
    _Range(value=0xB006, delivered=True, text="warning: elements discarded"),
    _Range(value=0xB007, delivered=True, text="warning: data set does not match SOP class"),
    _Range(value=0xB000, mask=0xF000, delivered=True, text="warning"),
    _Range(value=0xA700, mask=0xFF00, retryable=True, text="refused: out of resources"),
    _Range(value=0xA900, mask=0xFF00, text="error: data set does not match SOP class"),
    _Range(value=0xC000, mask=0xF000, text="error: cannot understand"),
    _Range(value=0x0000, mask=0x0000, text="unknown status"),
)
"""The first range that holds a code says what it means; the last one holds every code."""


def meaning_of(status: int) -> Meaning:
    """Return what the status of a C-STORE response means (PS3.4 table B.2-1, PS3.7 9.1.1.1.9 and annex C).

    Parameters
    ----------
    status : int
        Status (0000,0900) of the response.
    """
    return _meaning(status, MEANINGS)


REQUEST_MEANINGS = (
    _Range(value=0x0000, delivered=True, text="success"),
    _Range(value=0x0001, delivered=True, text="warning"),
    _Range(value=0x0107, delivered=True, text="warning: attribute list error"),
    _Range(value=0x0116, delivered=True, text="warning: attribute value out of range"),
    _Range(value=0x0110, retryable=True, text="processing failure"),
    _Range(value=0x0210, retryable=True, text="duplicate invocation"),
    _Range(value=0x0213, retryable=True, text="resource limitation"),
    _Range(value=0x0112, text="no such SOP instance"),
    _Range(value=0x0118, text="no such SOP class"),
    _Range(value=0x0123, text="no such action type"),
    _Range(value=0x0124, text="not authorised"),
    _Range(value=0x0211, text="unrecognised operation"),
    _Range(value=0x0000, mask=0x0000, text="unknown status"),
)
"""The first range that holds a code says what it means; the last one holds every code."""

QUERY_MEANINGS = (
    _Range(value=0x0000, delivered=True, text="success"),
    _Range(value=0x0110, retryable=True, text="processing failure"),
    _Range(value=0x0122, text="SOP class not supported"),
    _Range(value=0x0124, text="not authorised"),
    _Range(value=0xA700, retryable=True, text="refused: out of resources"),
    _Range(value=0xA900, text="error: identifier does not match SOP class"),
    _Range(value=0xC000, mask=0xF000, retryable=True, text="error: unable to process"),
    _Range(value=0xFE00, retryable=True, text="matching was cancelled"),
    _Range(value=0x0000, mask=0x0000, text="unknown status"),
)
"""The first range that holds a code says what it means; the last one holds every code."""


def request_meaning_of(status: int) -> Meaning:
    """Return what the status of an N-ACTION response means (PS3.7 10.1.4.1.10 and annex C).

    Parameters
    ----------
    status : int
        Status (0000,0900) of the response.
    """
    return _meaning(status, REQUEST_MEANINGS)


def query_meaning_of(status: int) -> Meaning:
    """Return what the final status of a C-FIND means (PS3.4 table C.4-1, PS3.7 9.1.2.1.5).

    Parameters
    ----------
    status : int
        Status (0000,0900) of the last response.
    """
    return _meaning(status, QUERY_MEANINGS)


def _meaning(status: int, ranges: tuple[_Range, ...]) -> Meaning:
    found = next(item for item in ranges if status & item.mask == item.value)
    return Meaning(
        delivered=found.delivered,
        retryable=found.retryable,
        text=f"{status:04X}H {found.text}",
        warning=found.delivered and status != Status.SUCCESS,
    )
