"""Imported before all others by programs that serve peers: what libraries would load and nobody there uses.

A library that tries to import one of these finds that it is not there, which it is made for.
"""

from __future__ import annotations

import sys
from typing import Final

UNNEEDED: Final = (
    # pydicom's, 19 MB: what decodes has a process of its own (decision 0012), and here no byte of a peer
    # reaches it.
    "gdcm",
    # pydicom's, 5 MB where other programs brought it: fetches the files of its tests.
    "requests",
    # openvino's, 5 MB: makes networks from other formats, and counts for its makers who does.
    "openvino.tools.ovc",
)

sys.modules.update(dict.fromkeys(UNNEEDED))  # type: ignore[arg-type]  # None keeps from being imported
