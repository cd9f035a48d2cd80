"""Which images of a finding are shown to a reader: pure, so that picture and report agree."""

from __future__ import annotations

from node.domain.result import Finding

MOST_ON_SHEET = 6
"""Most images on the contact sheet."""


def strongest(finding: Finding, limit: int) -> tuple[int, ...]:
    """Return the positive images, the highest score first; of equal scores the first image.

    Parameters
    ----------
    finding : Finding
    limit : int
        Most images.

    Returns
    -------
    tuple of int
        Indices into ``finding.slices``; the place in it, from 1, is the rank of heatmap and map.
    """
    return _by_score(finding, [index for index, item in enumerate(finding.slices) if item.positive])[:limit]


def on_sheet(finding: Finding) -> tuple[int, ...]:
    """Return the images that the contact sheet shows.

    Parameters
    ----------
    finding : Finding

    Returns
    -------
    tuple of int
        Indices into ``finding.slices``: the strongest positive images; where none is positive the highest
        scores; where nothing was scored images evenly spaced among those selected, or else among all.
    """
    if finding.positive:
        return strongest(finding, MOST_ON_SHEET)
    every = range(len(finding.slices))
    scored = [index for index in every if finding.slices[index].probability is not None]
    if scored:
        return _by_score(finding, scored)[:MOST_ON_SHEET]
    seen = [index for index in every if finding.slices[index].selected] or list(every)
    count = min(MOST_ON_SHEET, len(seen))
    return tuple(seen[(2 * place + 1) * len(seen) // (2 * count)] for place in range(count))


def _by_score(finding: Finding, indices: list[int]) -> tuple[int, ...]:
    return tuple(sorted(indices, key=lambda index: (-(finding.slices[index].probability or 0.0), index)))
