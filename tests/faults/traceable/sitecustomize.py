"""Lets any process of the same user trace the one that starts with this folder in PYTHONPATH (prctl(2))."""

from __future__ import annotations

import ctypes

PR_SET_PTRACER = 0x59616D61
ANYBODY = ctypes.c_ulong(-1)

ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)
