"""What a key demands, one kind of matching at a time; the whole is held against a reference in unit/query."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.decide.matching import combined, criterion_of, is_described, sought_name
from node.domain.errors import QueryMalformed
from tests.unit.query import reference


@pytest.mark.parametrize(
    ("vr", "key", "value", "expected"),
    [
        ("LO", "CHEST", "CHEST", True),
        ("LO", "CHEST", "chest", False),
        ("SH", "A?1*", "AB12", True),
        ("CS", "MR\\CT", "CT", True),
        ("LT", "a\\b", "a", False),
        ("UI", "1.2\\1.3", "1.3", True),
        ("UI", "1.2.*", "1.2.3", False),
        ("IS", "2", "+02", True),
        ("IS", "2", "two", False),
        ("PN", "müller", "Muller^Zoe", False),
        ("PN", "müller*", "MULLER^Zoe", True),
        ("PN", "山田*", "Yamada^Tarou=山田^太郎", True),
        ("PN", "*=山田*", "Yamada^Tarou=山田^太郎", True),
        ("PN", "=Yamada*", "Yamada^Tarou=山田^太郎", False),
        ("PN", "が^一", "か^一", False),
        ("DA", "20240101-", "20231231", False),
        ("DA", "-20240101", "20240101", True),
        ("DA", "20240101", "2024", False),
        ("TM", "10-11", "115959.9", True),
        ("TM", "1030", "103059", True),
        ("TM", "1030", "1031", False),
        ("TM", "10:30:00", "1030", True),
    ],
)
def test_a_value_matches_or_does_not(vr, key, value, expected):
    assert criterion_of(vr, key).matches([value]) is expected


@pytest.mark.parametrize("vr", ["LO", "PN", "DA", "TM", "IS", "UI"])
@pytest.mark.parametrize("key", ["", "*", "  ", "**"])
def test_an_empty_key_is_universal(vr, key):
    assert criterion_of(vr, key) is None


@pytest.mark.parametrize(
    ("vr", "key"),
    [
        ("DA", "2024"),
        ("DA", "20240101-20240102-"),
        ("DA", "-"),
        ("DA", "٢٠٢٤٠١٠١"),
        ("TM", "noon"),
        ("TM", "1-2"),
        ("IS", "1*"),
        ("IS", "9" * 13),
        ("LO", "x" * 5000),
        ("UI", "\\".join(f"1.{n}" for n in range(10_001))),
    ],
)
def test_what_is_no_key_is_refused(vr, key):
    with pytest.raises(QueryMalformed):
        criterion_of(vr, key)


@given(
    pattern=st.text(alphabet="ab*?[", max_size=12),
    text=st.text(alphabet="ab[", max_size=12),
)
def test_patterns_describe_what_an_expression_describes(pattern, text):
    assert is_described(text, pattern) == reference.described(pattern, text)


def test_no_pattern_takes_long():
    assert not is_described("a" * 4000, "*a" * 2000 + "b")


@given(st.text(alphabet="aÄß^= ｅ山", max_size=12))
def test_a_sought_name_is_sought_as_itself(name):
    once = sought_name(name)
    assert sought_name(once) == once
    assert once == "=".join(reference.groups_of(name))


@pytest.mark.parametrize(
    ("dates", "times", "moment", "expected"),
    [
        ("20240101-20240102", "1200-1000", ("20240101", "1300"), True),
        ("20240101-20240102", "1200-1000", ("20240101", "1100"), False),
        ("20240101-20240102", "1200-1000", ("20240102", "1000"), True),
        ("20240101-20240102", "1200-1000", ("20240102", "1001"), False),
        ("20240101-", "1200-", ("20991231", ""), True),
        ("-20240101", "-1200", ("20240101", "1200"), True),
        ("20240101", "1200", ("20240101", "1200"), True),
        ("20240101", "1200", ("", "1200"), False),
    ],
)
def test_a_date_and_a_time_are_one_moment(dates, times, moment, expected):
    criteria = {"StudyDate": criterion_of("DA", dates), "StudyTime": criterion_of("TM", times)}
    both = combined("StudyDate", "StudyTime", criteria)
    date, time = moment
    assert both.matches([date] if date else [], [time] if time else []) is expected


def test_one_key_alone_is_no_moment():
    assert combined("StudyDate", "StudyTime", {"StudyDate": criterion_of("DA", "20240101")}) is None


def test_no_list_is_endless():
    assert criterion_of("LO", "\\".join(map(str, range(256)))).matches(["255"])
    with pytest.raises(QueryMalformed):
        criterion_of("LO", "\\".join(map(str, range(257))))
