"""Who and what: patient keys, UIDs and how the node derives its own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

UID_PATTERN = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
UID_MAX_LENGTH = 64  # PS3.5 section 9.1


@dataclass(frozen=True, kw_only=True, order=True)
class PatientKey:
    """A patient in the sense of the index: the identifier together with who issued it (PS3.3 C.2.1)."""

    patient_id: str
    """PatientID (0010,0020), white space stripped; may be empty."""
    issuer: str = ""
    """IssuerOfPatientID (0010,0021), or the local or universal entity of its qualifiers; may be empty."""


def is_valid_uid(text: str) -> bool:
    """Whether ``text`` is a UID by PS3.5 section 9.1: dotted digits, no leading zeros, 64 characters."""
    return len(text) <= UID_MAX_LENGTH and UID_PATTERN.fullmatch(text) is not None


def digest(*parts: str | bytes | Iterable[str]) -> str:
    """Return the SHA-256 (hexadecimal) of an unambiguous concatenation of ``parts``.

    Strings and bytes are length-prefixed, iterables of strings are counted, so no two different
    sequences of parts share one encoding.
    """
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            _feed(state, b"s", part.encode())
        elif isinstance(part, bytes):
            _feed(state, b"b", part)
        else:
            items = list(part)
            state.update(b"l%d:" % len(items))
            for item in items:
                _feed(state, b"s", item.encode())
    return state.hexdigest()


def _feed(state: hashlib._Hash, kind: bytes, data: bytes) -> None:
    state.update(kind + b"%d:" % len(data))
    state.update(data)


def derived_uid(*parts: str) -> str:
    """Return the UID that belongs to ``parts``: the same parts give the same UID for ever.

    The first 128 bits of the digest, with the version (8, custom) and variant bits of a UUID set,
    as a decimal under 2.25 (PS3.5 B.2).
    """
    number = int(digest(*parts)[:32], 16)
    number = number & ~(0xF << 76) | (0x8 << 76)  # RFC 9562 section 5.8: version 8
    number = number & ~(0x3 << 62) | (0x2 << 62)  # RFC 9562 section 4.1: variant
    return f"2.25.{number}"
