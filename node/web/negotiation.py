"""What a client accepts, from its request (PS3.18 section 8.7, RFC 9110 section 12)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request

from node.web.errors import BadRequest

MULTIPART = "multipart/related"
LONGEST = 8192
"""Characters of a header that are read."""
MOST_RANGES = 64
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 section 5.6.2
QUOTED = r'"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"'
_TYPE = re.compile(rf"\s*({TOKEN}/{TOKEN})\s*")
_PARAMETER = re.compile(rf"\s*;\s*(?:({TOKEN})\s*=\s*({TOKEN}(?:[/:]{TOKEN})*|{QUOTED}))?\s*")
"""One parameter; several clients write ``type=application/dicom`` without the quotes of RFC 2387."""
_SPACE_WITHIN = re.compile(r"(?<=[A-Za-z0-9]) (?=[A-Za-z0-9])")
_QUALITY = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)")


@dataclass(frozen=True, kw_only=True)
class MediaRange:
    """One media type, or a range of them, with its parameters."""

    type: str
    """In lower case, for example ``multipart/related`` or ``image/*``."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """By their names in lower case, without ``q``."""
    quality: float = 1.0
    """0 where it is not accepted."""

    @property
    def root(self) -> str:
        """Return the media type of the parts of a ``multipart/related``, empty where none is named."""
        return self.parameters.get("type", "").lower()

    @property
    def transfer_syntax(self) -> str:
        """Return the transfer syntax that is asked for: a UID, ``*`` or nothing (PS3.18 8.7.3.5.2)."""
        return self.parameters.get("transfer-syntax", "")

    def covers(self, media_type: str) -> bool:
        """Whether a media type without parameters is within this range."""
        if self.type == "*/*":
            return True
        kind, _, sub = self.type.partition("/")
        return self.type == media_type or (sub == "*" and media_type.startswith(f"{kind}/"))


ANYTHING = MediaRange(type="*/*")


def accepted(request: Request) -> tuple[MediaRange, ...]:
    """Return what a request accepts, what it likes best first, and what it refuses last with quality 0.

    The query parameter ``accept`` stands before the header (PS3.18 section 8.3.3.1).

    Raises
    ------
    BadRequest
    """
    # A plus of a URL is itself (RFC 3986 section 3.4), and a space to whoever reads it as a form.
    in_url = [_SPACE_WITHIN.sub("+", text) for text in request.query_params.getlist("accept")]
    texts = in_url or request.headers.getlist("accept")
    ranges = media_ranges(",".join(texts))
    return tuple(sorted(ranges, key=lambda item: -item.quality)) or (ANYTHING,)


def media_ranges(text: str) -> list[MediaRange]:
    """Return the media ranges of a header, in its order.

    Raises
    ------
    BadRequest
    """
    if len(text) > LONGEST:
        raise BadRequest("the list of media types is too long")
    found, place = [], 0
    while place < len(text):
        if text[place] in ", \t":
            place += 1
            continue
        item, place = _media_range(text, place)
        if place < len(text) and text[place] != ",":
            raise BadRequest("a media type is malformed")
        found.append(item)
        if len(found) > MOST_RANGES:
            raise BadRequest("too many media types")
    return found


def content_type(text: str) -> MediaRange:
    """Return the media type of a body.

    Raises
    ------
    BadRequest
        It is absent or malformed.
    """
    ranges = media_ranges(text)
    if len(ranges) != 1:
        raise BadRequest("the content type is absent or malformed")
    return ranges[0]


def _media_range(text: str, place: int) -> tuple[MediaRange, int]:
    head = _TYPE.match(text, place)
    if head is None:
        raise BadRequest("a media type is malformed")
    place = head.end()
    parameters: dict[str, str] = {}
    while place < len(text) and text[place] == ";":
        found = _PARAMETER.match(text, place)
        if found is None:
            raise BadRequest("a parameter of a media type is malformed")
        place = found.end()
        if found[1]:
            parameters.setdefault(found[1].lower(), _unquoted(found[2]))
    quality = parameters.pop("q", "1")
    if _QUALITY.fullmatch(quality) is None:
        raise BadRequest("a quality value is malformed (RFC 9110 section 12.4.2)")
    return MediaRange(type=head[1].lower(), parameters=parameters, quality=float(quality)), place


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def fresh(request: Request, etag: str) -> bool:
    """Whether the client has this representation already (If-None-Match, RFC 9110 section 13.1.2).

    Parameters
    ----------
    request : Request
    etag : str
        As it is sent, with its quotes.
    """
    value = ",".join(request.headers.getlist("if-none-match"))
    known = [item.strip().removeprefix("W/") for item in value.split(",")]
    return "*" in known or etag.removeprefix("W/") in known


def quality_of(ranges: Sequence[MediaRange], media_type: str) -> float:
    """Return how well a media type is liked: the most exact range decides (RFC 9110 section 12.5.1)."""
    covering = [item for item in ranges if item.covers(media_type)]
    exact = [item for item in covering if item.type == media_type]
    partial = [item for item in covering if item.type not in {media_type, "*/*"}]
    for chosen in (exact, partial, covering):
        if chosen:
            return max(item.quality for item in chosen)
    return 0.0
