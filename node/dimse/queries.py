"""What a query asks, and what is found: the records between the network and the station that answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FindRequest:
    """What a C-FIND asks."""

    identifier: bytes
    """In little endian byte order."""
    implicit: bool
    """Whether the value representations are implicit."""
    patient_root: bool
    """Whether the information model begins with the patient, and not with the study."""
    relational: bool
    """Whether relational queries were negotiated."""
    combined: bool
    """Whether combined date and time matching was negotiated."""


@dataclass(frozen=True, kw_only=True)
class FoundMatch:
    """One match."""

    identifier: bytes
    """In the encoding of the request."""
    supported: bool
    """Whether every optional key was supported."""


@dataclass(frozen=True, kw_only=True)
class RetrieveRequest:
    """What a C-GET or C-MOVE asks."""

    identifier: bytes
    """In little endian byte order."""
    implicit: bool
    """Whether the value representations are implicit."""
    patient_root: bool
    """Whether the information model begins with the patient, and not with the study."""


@dataclass(frozen=True, kw_only=True)
class Retrievable:
    """One instance that is to be sent."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    object_key: str
    size: int
    """Bytes of its file."""
