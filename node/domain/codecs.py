"""What decoding the pixels of peers may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CodecLimits:
    """What the processes of codecs may use."""

    processes: int = 2
    """At the same time; each is started when it is first needed."""
    memory_bytes: int = 1 << 30
    """Of one process, beyond what its libraries take."""
    seconds: int = 30
    """Of processor time for one frame; on the clock it may be twice as many."""
