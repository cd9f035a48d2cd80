"""Reading a multipart body while it arrives (RFC 2046 section 5.1, PS3.18 section 8.6.1.2).

Bytes go in as the network gives them and come out as parts; of a part's content no more is held back than
could be the beginning of a delimiter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from node.web.errors import BadRequest, TooLarge

BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,127}[0-9A-Za-z'()+_,./:=?-]")
"""The characters of RFC 2046 section 5.1.1, the last one no space. It allows 70; Orthanc sends 73."""
FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00-\x08\x0a-\x1f\x7f]*)")
"""A header field (RFC 9110 section 5.5)."""
FOLD: Final = re.compile(rb"\r\n[ \t]+")
"""A field may go on on the next line (RFC 5322 section 2.2.3)."""
CRLF: Final = b"\r\n"
BLANK: Final = b"\r\n\r\n"
CLOSING: Final = b"--"
PADDING: Final = b" \t"
"""Behind a delimiter some transports put white space (RFC 2046 section 5.1.1)."""


@dataclass(frozen=True, kw_only=True)
class MultipartLimits:
    """What a sender can make big, bounded."""

    parts: int
    """Parts of one body."""
    preamble_bytes: int = 16 * 1024
    """What may stand before the first delimiter."""
    header_bytes: int = 16 * 1024
    """Header section of one part."""


@dataclass(frozen=True, kw_only=True)
class PartBegins:
    """The header section of a part is there."""

    headers: Mapping[str, str]
    """By names in lower case; of a field that stands twice, the first."""


@dataclass(frozen=True, kw_only=True)
class PartContent:
    """The next bytes of a part, never none."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class PartEnds:
    """The delimiter behind a part is there: the part is whole."""


Event = PartBegins | PartContent | PartEnds


class _Stage(Enum):
    """What is being read."""

    PREAMBLE = auto()
    DELIMITER = auto()
    """What follows the boundary on its line."""
    HEADERS = auto()
    CONTENT = auto()
    EPILOGUE = auto()


class MultipartReader:
    """Reads one multipart body.

    Parameters
    ----------
    boundary : str
        Of the Content-Type header.
    limits : MultipartLimits

    Raises
    ------
    BadRequest
        ``boundary`` is none.
    """

    def __init__(self, boundary: str, limits: MultipartLimits) -> None:
        if BOUNDARY.fullmatch(boundary) is None:
            raise BadRequest("the boundary of the multipart body is none: see RFC 2046 section 5.1.1")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._limits = limits
        self._stage = _Stage.PREAMBLE
        self._held = CRLF  # the first delimiter may stand at the very beginning, with no line end before it
        self._parts = 0
        self._skipped = 0
        self._is_blank_line_ahead = False

    @property
    def complete(self) -> bool:
        """Whether the closing delimiter is there."""
        return self._stage is _Stage.EPILOGUE

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take the next bytes and yield what they bring; to be iterated to its end before the next call.

        Raises
        ------
        BadRequest
            It is no multipart body.
        TooLarge
            It has more parts, or a longer header section, than allowed.
        """
        rest: bytes | None = self._held + data if self._held else data
        self._held = b""
        while rest:
            if self._stage is _Stage.CONTENT:
                found, rest = self._content(rest)
                yield from found
            elif self._stage is _Stage.HEADERS:
                event, rest = self._headers(rest)
                if event is not None:
                    yield event
            elif self._stage is _Stage.DELIMITER:
                rest = self._behind_boundary(rest)
            elif self._stage is _Stage.PREAMBLE:
                rest = self._preamble(rest)
            else:
                return  # the epilogue says nothing (RFC 2046 section 5.1.1)

    def close(self) -> None:
        """Check, at the end of the body, that it was whole.

        Raises
        ------
        BadRequest
            The closing delimiter is not there.
        """
        if not self.complete:
            raise BadRequest("the multipart body ends without its closing delimiter; send it again")

    def _preamble(self, data: bytes) -> bytes | None:
        at = data.find(self._delimiter)
        kept = self._possible_delimiter(data) if at < 0 else at
        self._skipped += kept
        if self._skipped > self._limits.preamble_bytes:
            raise BadRequest("the boundary of the Content-Type header does not begin the body")
        if at >= 0:
            self._stage = _Stage.DELIMITER
            return data[at + len(self._delimiter) :]
        self._held = data[kept:]
        return None

    def _behind_boundary(self, data: bytes) -> bytes | None:
        """Read the rest of a delimiter's line but its end, since a header section may be empty."""
        if data.startswith(CLOSING):
            self._stage = _Stage.EPILOGUE
            return None
        line = data.lstrip(PADDING)
        if len(data) - len(line) > self._limits.header_bytes:
            raise BadRequest("a delimiter of the multipart body is followed by too much white space")
        if len(line) < len(CRLF) and (CRLF.startswith(line) or data == CLOSING[:1]):
            self._held = data
            return None
        if not line.startswith(CRLF):
            raise BadRequest("a delimiter of the multipart body is followed by something on its line")
        self._parts += 1
        if self._parts > self._limits.parts:
            raise TooLarge(f"the body has more than {self._limits.parts} parts; send fewer at once")
        self._stage = _Stage.HEADERS
        return line

    def _headers(self, data: bytes) -> tuple[PartBegins | None, bytes | None]:
        at = data.find(BLANK)
        if at > self._limits.header_bytes or (at < 0 and len(data) > self._limits.header_bytes + len(BLANK)):
            raise TooLarge(f"a part has a header section of more than {self._limits.header_bytes} bytes")
        if at < 0:
            self._held = data
            return None, None
        self._stage = _Stage.CONTENT
        self._is_blank_line_ahead = True  # its end begins the delimiter of a part without content
        return PartBegins(headers=header_fields(data[:at])), data[at + len(CRLF) :]

    def _content(self, data: bytes) -> tuple[tuple[Event, ...], bytes | None]:
        at = data.find(self._delimiter)
        begin = len(CRLF) if self._is_blank_line_ahead else 0
        if at >= 0:
            self._stage = _Stage.DELIMITER
            content = data[begin:at]
            rest = data[at + len(self._delimiter) :]
            return ((PartContent(data=content), PartEnds()) if content else (PartEnds(),)), rest
        end = self._possible_delimiter(data)
        self._held = data[end:]
        self._is_blank_line_ahead = self._is_blank_line_ahead and end < begin
        content = data[begin:end]
        return ((PartContent(data=content),) if content else ()), None

    def _possible_delimiter(self, data: bytes) -> int:
        """Return where the last bytes could begin a delimiter; the length of ``data`` when nowhere."""
        at = data.find(b"\r", max(len(data) - len(self._delimiter) + 1, 0))
        while at >= 0:
            if self._delimiter.startswith(data[at:]):
                return at
            at = data.find(b"\r", at + 1)
        return len(data)


def header_fields(section: bytes) -> dict[str, str]:
    r"""Return the fields of a part's header section, by names in lower case.

    Parameters
    ----------
    section : bytes
        Each field with the line end before it: empty, or ``\r\nContent-Type: application/dicom``.

    Raises
    ------
    BadRequest
    """
    fields: dict[str, str] = {}
    for line in FOLD.sub(b" ", section).split(CRLF)[1:]:
        field = FIELD.fullmatch(line)
        if field is None:
            raise BadRequest("a part has a header field that is none: see RFC 9110 section 5")
        name, value = field.groups()
        fields.setdefault(name.decode("ascii").lower(), value.strip(PADDING).decode("latin-1"))
    return fields
