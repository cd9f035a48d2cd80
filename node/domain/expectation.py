"""What others say of how many instances a series has: the modality, the archive, who asks for commitment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """Who says it, the strongest first."""

    PROCEDURE_STEP = "procedure-step"
    """The Performed Series Sequence of a modality performed procedure step (PS3.4 section F.7)."""
    DISCONTINUED = "discontinued"
    """The same, of a step that was discontinued: nothing more comes, but it may be a part only."""
    AVAILABILITY = "availability"
    """An instance availability notification (PS3.4 annex R): at least these exist."""
    ARCHIVE = "archive"
    """NumberOfSeriesRelatedInstances (0020,1209) of an archive, or its instances counted."""
    COMMITMENT = "commitment"
    """A request for storage commitment (PS3.4 annex J): at least these exist, in whichever series.

    Whether they were all sent here it does not say: it is a reason to wait, and no more than that.
    """


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What one source says of one series."""

    source: Source
    listed: int
    """How many instances it names, or counts."""
    missing: int
    """How many of them are not here."""
    final: bool
    """Whether it speaks of the whole series, and has no more to say."""
