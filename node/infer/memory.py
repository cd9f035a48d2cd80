"""Memory that the C library holds although nobody uses it."""

from __future__ import annotations

import ctypes
from typing import Final

ARENA_MAX: Final = -8
"""``M_ARENA_MAX`` of malloc.h (mallopt(3), glibc)."""
ARENAS: Final = 2
"""By default there are eight for each processor, and every thread that decodes, computes or receives frees
into one that no other takes from: 34 MB lay there after a study of 200 slices, and 15 more at its peak. Most
threads wait for the interpreter's lock before they would wait for an arena."""


def share_memory_among_threads() -> None:
    """Let threads take what others freed, where the C library can be told to; called before they start."""
    option = getattr(ctypes.CDLL(None), "mallopt", None)
    if option is not None:
        option(ctypes.c_int(ARENA_MAX), ctypes.c_int(ARENAS))


def return_free_memory() -> None:
    """Give the system back what was freed, where the C library can be told to (mallopt(3), glibc).

    It keeps freed memory for what comes next. After a network was compiled, or scored, that is some tens of
    megabytes that may not be needed for hours.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
