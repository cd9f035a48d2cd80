"""What a convolution kernel (0018,1210) was made for; each manufacturer names its own."""

from __future__ import annotations

import re
from enum import IntEnum

from node.domain.study import InstanceHeader


class KernelKind(IntEnum):
    """Kinds of reconstruction, in the order in which they are preferred for the lungs."""

    LUNG = 0
    SHARP = 1
    """Made for bone or edges: resolves the lungs as well."""
    UNKNOWN = 2
    SOFT = 3


SIEMENS = re.compile(r"([A-Z])([A-Z]?)(\d{2})")
"""B70F, BL57, BR40, I50F: family, organ, sharpness (syngo CT reference manuals)."""
SIEMENS_SHARP = 50
CANON = re.compile(r"FC(\d{2})")
"""FC00..FC19 body, FC20..FC29 brain, FC30..FC39 bone, FC50..FC59 and FC80..FC86 lung."""
PHILIPS = {
    "L": KernelKind.LUNG,
    "YA": KernelKind.LUNG,
    "YB": KernelKind.LUNG,
    "YC": KernelKind.SHARP,
    "YD": KernelKind.SHARP,
    "D": KernelKind.SHARP,
    "E": KernelKind.SHARP,
    "A": KernelKind.SOFT,
    "B": KernelKind.SOFT,
    "C": KernelKind.SOFT,
}
WORDS = (  # in this order: "bone plus lung" is a lung kernel
    (KernelKind.LUNG, ("LUNG", "PULM", "CHST", "THORAX HR")),
    (KernelKind.SHARP, ("BONE", "EDGE", "SHARP", "HRCT", "DETAIL")),
    (KernelKind.SOFT, ("SOFT", "STANDARD", "STND", "SMOOTH", "MEDIAST", "BODY")),
)


def kernel_kind(header: InstanceHeader) -> KernelKind:
    """Return what a series was reconstructed for: by its kernel, else by its description.

    Parameters
    ----------
    header : InstanceHeader
        Of any instance of the series.
    """
    kernel = header.convolution_kernel.upper().strip()
    manufacturer = header.manufacturer.upper()
    by_name = _by_manufacturer(kernel.split("\\")[0], manufacturer) if kernel else KernelKind.UNKNOWN
    if by_name is not KernelKind.UNKNOWN:
        return by_name
    by_word = _by_words(kernel)
    return by_word if by_word is not KernelKind.UNKNOWN else _by_words(header.series_description.upper())


def _by_manufacturer(kernel: str, manufacturer: str) -> KernelKind:
    if "PHILIPS" in manufacturer:
        return PHILIPS.get(kernel, KernelKind.UNKNOWN)
    if "TOSHIBA" in manufacturer or "CANON" in manufacturer:
        match = CANON.match(kernel)
        return _canon(int(match[1])) if match is not None else KernelKind.UNKNOWN
    match = SIEMENS.match(kernel)  # no other manufacturer uses this form
    if match is None:
        return KernelKind.UNKNOWN
    if match[2] == "L" or int(match[3]) >= SIEMENS_SHARP:
        return KernelKind.LUNG
    return KernelKind.SOFT


def _canon(number: int) -> KernelKind:
    if 50 <= number < 60 or 80 <= number < 90:
        return KernelKind.LUNG
    if 30 <= number < 40:
        return KernelKind.SHARP
    return KernelKind.SOFT


def _by_words(text: str) -> KernelKind:
    for kind, words in WORDS:
        if any(word in text for word in words):
            return kind
    return KernelKind.UNKNOWN
