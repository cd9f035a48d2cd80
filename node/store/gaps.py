"""A sender's rhythm: gaps between arrivals as a bounded histogram with logarithmic buckets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction

SHORTEST = timedelta(milliseconds=1)
STEPS_PER_DOUBLING = 4  # a bucket is 19 % wide
BUCKETS = 96  # from 1 ms to 3.9 hours
ENOUGH = 50  # gaps, below which nothing is said of a sender
HALVE_AT = 1024  # when one bucket holds this many, all are halved: the histogram follows the sender
PERCENTILE = Fraction(99, 100)


def bucket_of(gap: timedelta) -> int:
    """Return the bucket (from 0) whose upper bound is the first that is not below ``gap``."""
    if gap <= SHORTEST:
        return 0
    number = math.ceil(round(STEPS_PER_DOUBLING * math.log2(gap / SHORTEST), 9))
    return min(number, BUCKETS - 1)


def upper_bound(bucket: int) -> timedelta:
    """Return the longest gap that falls into a bucket."""
    return SHORTEST * float(2.0 ** (bucket / STEPS_PER_DOUBLING))


def percentile_gap(counts: Mapping[int, int], share: Fraction = PERCENTILE) -> timedelta | None:
    """Return a gap that at least ``share`` of all gaps do not exceed.

    Parameters
    ----------
    counts : Mapping[int, int]
        Gaps a bucket.
    share : Fraction
        Between 0 and 1.

    Returns
    -------
    timedelta or None
        Upper bound of the bucket that holds the percentile (nearest rank); None below ``ENOUGH`` gaps.
    """
    total = sum(counts.values())
    if total < ENOUGH:
        return None
    rank = math.ceil(share * total)
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= rank:
            break
    return upper_bound(bucket)
