from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from node.store.gaps import BUCKETS, ENOUGH, SHORTEST, bucket_of, percentile_gap, upper_bound

gaps = st.timedeltas(min_value=timedelta(milliseconds=-5), max_value=timedelta(hours=3))


@given(gaps)
def test_a_gap_lies_in_its_bucket(gap):
    bucket = bucket_of(gap)
    assert 0 <= bucket < BUCKETS
    microsecond = timedelta(microseconds=1)
    assert gap <= upper_bound(bucket) + microsecond
    assert bucket == 0 or gap >= upper_bound(bucket - 1) - microsecond


def test_the_longest_bucket_takes_every_longer_gap():
    assert bucket_of(timedelta(days=400)) == BUCKETS - 1


@given(st.lists(gaps, min_size=ENOUGH, max_size=300), st.fractions(Fraction(1, 100), Fraction(1)))
def test_the_percentile_is_exact_to_one_bucket(found, share):
    exact = sorted(found)[math.ceil(share * len(found)) - 1]
    told = percentile_gap(Counter(map(bucket_of, found)), share)
    assert told == upper_bound(bucket_of(exact))


def test_nothing_is_said_of_a_sender_seen_too_little():
    assert percentile_gap({0: ENOUGH - 1}) is None
    assert percentile_gap({0: ENOUGH}) == SHORTEST
