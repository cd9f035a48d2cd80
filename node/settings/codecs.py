"""The table ``[codecs]``: what decoding the pixels of peers may cost."""

from __future__ import annotations

from pydantic import Field

from node.domain.codecs import CodecLimits
from node.settings.section import Section


class CodecSettings(Section):
    """Compressed pixel data are decoded and encoded in processes of their own, within these bounds.

    A frame beyond them, or one that ends its process, is not analysed; nothing else is lost. Images that are
    not compressed need none of this.
    """

    processes: int = Field(
        2, ge=1, le=64, description="At the same time; each is started when it is first needed."
    )
    memory_mib: int = Field(
        1024, ge=64, le=65_536, description="Memory of one process, beyond its libraries."
    )
    seconds: int = Field(
        30,
        ge=1,
        le=3_600,
        description="Of processor time for one frame; on the clock it may be twice as many.",
    )

    def limits(self) -> CodecLimits:
        """Return the bounds."""
        return CodecLimits(processes=self.processes, memory_bytes=self.memory_mib << 20, seconds=self.seconds)
