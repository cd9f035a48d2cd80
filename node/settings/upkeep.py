"""The table ``[upkeep]``: what the node does for what it keeps."""

from __future__ import annotations

from pydantic import Field

from node.settings.section import Section


class UpkeepSettings(Section):
    """Every stored object file is read again and compared with its digest: disks lose bytes silently."""

    verify_days: float = Field(
        30.0, ge=0, le=3_650, description="Days within which every file is read once; 0 for never."
    )
    verify_mib_per_second: float = Field(
        8.0,
        gt=0,
        le=10_000,
        description="No more is read, whatever that makes of the days; a quarter of it while objects arrive "
        "without a pause.",
    )
