"""Why images could not be read, in the words of a report; whoever asks logs the details."""

from __future__ import annotations

from typing import Final

from node.domain.errors import (
    DecodeFailed,
    GreyscaleUnknown,
    HounsfieldUnknown,
    ObjectTooLarge,
    TruncatedObject,
    UnsupportedTransferSyntax,
)
from node.domain.wording import Told, reason_of, tell

KINDS: Final = (
    (DecodeFailed, "unread.pixels"),
    (UnsupportedTransferSyntax, "unread.transfer-syntax"),
    (TruncatedObject, "unread.truncated"),
    (ObjectTooLarge, "unread.too-large"),
    (HounsfieldUnknown, "unread.hounsfield"),
    (GreyscaleUnknown, "unread.greyscale"),
)


def unread(error: Exception) -> Told:
    """Return what an error says, as a clause that can be told in any language.

    What decoders say is of other makers, in English and for engineers: of it the kind alone is told.
    """
    said = reason_of(error)
    if isinstance(said, Told):
        return said
    return tell(next((key for kind, key in KINDS if isinstance(error, kind)), "unread.image"))
