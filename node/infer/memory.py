"""Memory that the C library holds although nobody uses it."""

from __future__ import annotations

import ctypes


def return_free_memory() -> None:
    """Give the system back what was freed, where the C library can be told to (mallopt(3), glibc).

    It keeps freed memory for what comes next. After a network was compiled, or scored, that is some tens of
    megabytes that may not be needed for hours.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
