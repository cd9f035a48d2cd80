"""One pass over every slice of a series: decoded one at a time, counted, digested and let go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from node.dicom.slices import SliceSource
from node.domain.errors import DecodeFailed
from node.domain.input_spec import SelectionSpec
from node.domain.wording import tell
from node.imaging.arrays import Real
from node.imaging.scout import coronal_profile
from node.imaging.selection import DarkCount, Plausibility, dark_count, plausibility, select


@dataclass(frozen=True, kw_only=True)
class LookedAt:
    """A series after the first pass."""

    sources: tuple[SliceSource, ...]
    """Every slice, from feet to head."""
    counts: tuple[DarkCount, ...]
    """One for each slice, in that order."""
    pixel_digests: tuple[str, ...]
    """One for each slice, the same for every transfer syntax."""
    profiles: tuple[Real, ...]
    """One for each slice: its coronal profile, float32 array of shape (columns,)."""
    kept: tuple[int, ...]
    """Indices of the slices with open lungs, ascending."""
    threshold: Fraction
    plausibility: Plausibility

    @property
    def selected(self) -> tuple[SliceSource, ...]:
        """The slices with open lungs."""
        return tuple(self.sources[index] for index in self.kept)


def look(
    sources: Sequence[SliceSource],
    spec: SelectionSpec,
    pool: ThreadPoolExecutor,
    advanced: Callable[[int, int], None],
    intact: Callable[[Path], bool],
) -> LookedAt:
    """Decode every slice once and select those with open lungs.

    No more slices are in memory than the pool has threads.

    Parameters
    ----------
    sources : sequence of SliceSource
        Of one series, sorted along the normal; at least one.
    spec : SelectionSpec
    pool : ThreadPoolExecutor
    advanced : callable
        Takes the number of slices done, and of all.
    intact : callable
        Whether a stored file still has the bytes that were received.

    Raises
    ------
    DicomError
        A slice cannot be decoded, has no Hounsfield units, or its file was damaged on the disk.
    GeometryError
        PixelSpacing is missing.
    """
    files = dict.fromkeys(source.path for source in sources)
    if not all(pool.map(intact, files)):
        raise DecodeFailed(tell("unread.damaged"))
    counts: list[DarkCount] = []
    digests: list[str] = []
    profiles: list[Real] = []
    jobs = [pool.submit(_look_at, source, spec) for source in sources]
    try:
        for job in jobs:
            count, digest, profile = job.result()
            counts.append(count)
            digests.append(digest)
            profiles.append(profile)
            advanced(len(counts), len(sources))
    finally:
        for job in jobs:
            job.cancel()
    selection = select([item.count for item in counts], spec)
    height, width = sources[0].pixel_spacing
    return LookedAt(
        sources=tuple(sources),
        counts=tuple(counts),
        pixel_digests=tuple(digests),
        profiles=tuple(profiles),
        kept=selection.kept,
        threshold=selection.threshold,
        plausibility=plausibility(selection, counts, height * width, spec),
    )


def _look_at(source: SliceSource, spec: SelectionSpec) -> tuple[DarkCount, str, Real]:
    v, digest = source.read()
    return dark_count(v, spec), digest, coronal_profile(v)
