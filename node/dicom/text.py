"""Text of data elements: SpecificCharacterSet (PS3.3 C.12.1.1.2) to Unicode, and patient names to compare.

Decoding never fails and never loses an object: bytes that the declared character set cannot explain are tried
as UTF-8 and at last taken as Latin-1, which maps every byte to some character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

ESCAPE = b"\x1b"

STAND_ALONE = {  # PS3.3 table C.12-5: character sets without code extensions
    "ISO_IR 192": "utf_8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}

G1_OF_TERM = {  # PS3.3 table C.12-2 and C.12-3: what lies in the upper half before any escape sequence
    "ISO_IR 100": "iso8859_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 203": "iso8859_15",
    "ISO_IR 166": "tis_620",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 149": "euc_kr",
    "ISO_IR 58": "gb2312",
}

G1_ESCAPES = {  # PS3.3 tables C.12-3 and C.12-4: escape sequences that designate the upper half
    b"\x1b-A": "iso8859_1",
    b"\x1b-B": "iso8859_2",
    b"\x1b-C": "iso8859_3",
    b"\x1b-D": "iso8859_4",
    b"\x1b-L": "iso8859_5",
    b"\x1b-G": "iso8859_6",
    b"\x1b-F": "iso8859_7",
    b"\x1b-H": "iso8859_8",
    b"\x1b-M": "iso8859_9",
    b"\x1b-b": "iso8859_15",
    b"\x1b-T": "tis_620",
    b"\x1b)I": "shift_jis",
    b"\x1b$)C": "euc_kr",
    b"\x1b$)A": "gb2312",
}

G0_ESCAPES = {  # the same tables: escape sequences that designate the lower half
    b"\x1b(B": "ascii",
    b"\x1b(J": "ascii",
    b"\x1b$B": "iso2022_jp",
    b"\x1b$@": "iso2022_jp",
    b"\x1b$(D": "iso2022_jp_2",
}

_TERM = re.compile(r"ISO[ _-]*(?:2022[ _-]*)?IR[ _-]*(\d+)")
"""A defined term of PS3.3 C.12.1.1.2, with the separators that senders confuse."""
_TOKEN = re.compile(rb"\x1b(?:\$\([D]|\$\)[AC]|\$[B@]|[()-][A-Za-z])|[\x00-\x1a\x1c-\x7f]+|[\x80-\xff]+|\x1b")
_DELIMITER = re.compile(rb"([\^=\\\t\n\f\r])")  # PS3.5 section 6.1.2.5.3: these reset the designations


@dataclass(frozen=True, kw_only=True)
class CharacterSet:
    """What SpecificCharacterSet (0008,0005) says about text values."""

    terms: tuple[str, ...]
    """The defined terms as sent, upper case; empty for the default repertoire."""

    @classmethod
    def parse(cls, value: bytes) -> CharacterSet:
        """Read the value field of SpecificCharacterSet."""
        text = value.decode("ascii", "replace").strip(" \0")
        return cls(terms=tuple(term.strip().upper() for term in text.split("\\")) if text else ())

    def decode(self, value: bytes) -> str:
        """Return ``value`` as Unicode without padding; never raises."""
        try:
            text = self._decode_declared(value)
        except UnicodeDecodeError:
            text = _decode_undeclared(value)
        return text.strip(" \0")

    def _decode_declared(self, value: bytes) -> str:
        first = self._first
        stand_alone = STAND_ALONE.get(first)
        if stand_alone is not None:
            return value.decode(stand_alone)
        if value.isascii() and ESCAPE not in value:
            return value.decode("ascii")
        return "".join(_decode_extended(value, self._upper_half(first)))

    @cached_property
    def _first(self) -> str:
        return _defined_term(self.terms[0]) if self.terms else ""

    def _upper_half(self, first: str) -> str | None:
        """Return what the upper half is before any escape sequence designates it.

        Where the first character set has none, it is that of the only other one that has: some senders leave
        out what designates it.
        """
        others = {G1_OF_TERM[term] for term in map(_defined_term, self.terms[1:]) if term in G1_OF_TERM}
        if first in G1_OF_TERM or len(others) != 1:
            return G1_OF_TERM.get(first)
        return others.pop()


def _defined_term(term: str) -> str:
    """Return the term without code extensions that a sender meant; what is none is itself."""
    match = _TERM.fullmatch(term)
    return f"ISO_IR {match[1]}" if match is not None else term


def _decode_extended(value: bytes, initial: str | None) -> Iterator[str]:
    """Walk the code extensions of PS3.5 section 6.1.2.5: a lower half (G0) and an upper half (G1).

    A delimiter takes the upper half back to the first character set; where that has none, the last one stays,
    for many senders do not designate it anew.
    """
    lower, upper = "ascii", initial
    for match in _TOKEN.finditer(value):
        token = match.group()
        if token in G0_ESCAPES:
            lower = G0_ESCAPES[token]
        elif token in G1_ESCAPES:
            upper = G1_ESCAPES[token]
        elif token[0] >= 0x80:
            yield token.decode(upper if upper is not None else "ascii")
        elif lower == "ascii":
            yield token.decode("ascii")
            upper = initial if initial is not None and _DELIMITER.search(token) else upper
        else:
            prefix = b"\x1b$B" if lower == "iso2022_jp" else b"\x1b$(D"
            yield (prefix + token).decode(lower)


def _decode_undeclared(value: bytes) -> str:
    try:
        return value.decode("utf_8")
    except UnicodeDecodeError:
        return value.decode("latin_1")


def normalised_name(name: str) -> str:
    """Return a person name (VR PN) in the form in which two names are compared.

    Compatibility forms, case, repeated spaces, empty trailing components and component groups do not
    distinguish patients (PS3.5 section 6.2.1.1).

    Parameters
    ----------
    name : str
        As decoded, for example ``"Doe^Jane^^^"``.

    Returns
    -------
    str
        For example ``"doe^jane"``.
    """
    groups = []
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    for group in folded.split("="):
        components = [" ".join(component.split()) for component in group.split("^")]
        groups.append("^".join(components).rstrip("^"))
    return "=".join(groups).rstrip("=")
