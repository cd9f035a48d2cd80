"""Whether a value matches a key of a query (PS3.4 section C.2.2.2).

A criterion is what one key demands; no criterion is universal matching. Text is compared as it is, case and
all, but for person names, in which case, accents, the width of characters and trailing delimiters say nothing
about whom is meant (PS3.4 section C.2.2.2.1.1 leaves that open).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from node.domain.errors import QueryMalformed

WILDCARDS = frozenset("*?")
SINGLE_VALUED = frozenset({"LT", "ST", "UR", "UT"})
"""Value representations in which a backslash is text (PS3.5 section 6.2)."""
NUMBERS = frozenset({"IS", "SL", "SS", "UL", "US"})
MAX_KEY_CHARACTERS = 4096
MAX_UIDS = 10000
MAX_VALUES = 256
"""In a list of anything else: each is a condition of its own."""
DIGITS_OF_TIME = 12
"""Hours to microseconds."""
LAST = "9" * (8 + DIGITS_OF_TIME)
"""Behind every date and time."""

_DATE = re.compile(r"\d{8}", re.ASCII)
_TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,12}", re.ASCII)
_ACCENT = re.compile("[\u0300-\u036f]")
"""Combining diacritical marks; others change a letter into another one (Japanese, Hebrew, Thai)."""


@dataclass(frozen=True, kw_only=True)
class OneOf:
    """Single value matching, and lists of UIDs (PS3.4 sections C.2.2.2.1 and C.2.2.2.2)."""

    values: frozenset[str]

    def matches(self, values: Sequence[str]) -> bool:
        """Whether one of the values is the wanted one."""
        return not self.values.isdisjoint(values)


@dataclass(frozen=True, kw_only=True)
class OneNumber:
    """Single value matching of integers, however they are written."""

    values: frozenset[int]

    def matches(self, values: Sequence[str]) -> bool:
        """Whether one of the values is the wanted number."""
        return any(_NUMBER.fullmatch(value) and int(value) in self.values for value in values)


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """Wild card matching (PS3.4 section C.2.2.2.4)."""

    text: str

    def matches(self, values: Sequence[str]) -> bool:
        """Whether the pattern describes one of the values from its beginning to its end."""
        return any(is_described(value, self.text) for value in values)


@dataclass(frozen=True, kw_only=True)
class PersonName:
    """Matching of person names: one component group means any, several mean those at their places."""

    groups: tuple[str, ...]
    """As `sought_name` writes them, with wild cards."""

    def matches(self, values: Sequence[str]) -> bool:
        """Whether one of the names is meant."""
        return any(self._means(sought_name(value).split("=")) for value in values)

    def _means(self, groups: Sequence[str]) -> bool:
        if len(self.groups) == 1:
            return any(group and is_described(group, self.groups[0]) for group in groups)
        padded = [*groups, *[""] * len(self.groups)]
        return all(
            not wanted or is_described(group, wanted)
            for wanted, group in zip(self.groups, padded, strict=False)
        )


@dataclass(frozen=True, kw_only=True)
class Dates:
    """Range matching of dates (PS3.4 section C.2.2.2.5); both ends belong to it."""

    first: str
    """YYYYMMDD, or empty for no beginning."""
    last: str

    def matches(self, values: Sequence[str]) -> bool:
        """Whether one of the values lies within."""
        return any(
            date is not None and self.first <= date <= self.last for date in map(canonical_date, values)
        )


@dataclass(frozen=True, kw_only=True)
class Times:
    """Range matching of times; an end without minutes or seconds means the whole hour or minute."""

    first: str
    """Hours to microseconds, 12 digits."""
    last: str

    def matches(self, values: Sequence[str]) -> bool:
        """Whether one of the values lies within; what a value leaves out is zero."""
        return any(
            time is not None and self.first <= time <= self.last for time in map(canonical_time, values)
        )


@dataclass(frozen=True, kw_only=True)
class AnyOf:
    """A list of values, one of which is wanted."""

    criteria: tuple[ValueCriterion, ...]

    def matches(self, values: Sequence[str]) -> bool:
        """Whether one of the values is wanted."""
        return any(criterion.matches(values) for criterion in self.criteria)


ValueCriterion: TypeAlias = OneOf | OneNumber | Pattern | PersonName | Dates | Times
Criterion: TypeAlias = ValueCriterion | AnyOf


@dataclass(frozen=True, kw_only=True)
class DateTimes:
    """Combined date and time matching (PS3.4 section C.2.2.2.5.4): one range over both attributes."""

    date: str
    """Keyword of the date."""
    time: str
    """Keyword of the time."""
    first: str
    """Years to microseconds, 20 digits; empty for no beginning."""
    last: str

    def matches(self, dates: Sequence[str], times: Sequence[str]) -> bool:
        """Whether the moment lies within; without a time it is the beginning of the day."""
        date = canonical_date(dates[0]) if dates else None
        if date is None:
            return False
        time = canonical_time(times[0]) if times else None
        return self.first <= date + (time or "0" * DIGITS_OF_TIME) <= self.last


def criterion_of(vr: str, text: str) -> Criterion | None:
    """Return what a key demands, None for universal matching.

    Parameters
    ----------
    vr : str
        Value representation of the attribute.
    text : str
        The key as Unicode; values are separated by backslashes.

    Raises
    ------
    QueryMalformed
        The key is no value, range or list of this value representation.
    """
    if len(text) > MAX_KEY_CHARACTERS and vr != "UI":
        raise QueryMalformed(f"a key has more than {MAX_KEY_CHARACTERS} characters")
    values = [text.strip()] if vr in SINGLE_VALUED else [value.strip() for value in text.split("\\")]
    wanted = tuple(value for value in values if value)
    if not wanted or any(set(value) == {"*"} for value in wanted):
        return None
    if vr == "UI":
        if len(wanted) > MAX_UIDS:
            raise QueryMalformed(f"a list of more than {MAX_UIDS} UIDs")
        return OneOf(values=frozenset(wanted))
    if len(wanted) > MAX_VALUES:
        raise QueryMalformed(f"a list of more than {MAX_VALUES} values")
    criteria = tuple(_criterion(vr, value) for value in wanted)
    if any(isinstance(item, PersonName) and not any(item.groups) for item in criteria):
        return None
    return criteria[0] if len(criteria) == 1 else AnyOf(criteria=criteria)


def _criterion(vr: str, value: str) -> ValueCriterion:
    if vr == "PN":
        groups = tuple(group if set(group) != {"*"} else "" for group in sought_name(value).split("="))
        return PersonName(groups=groups)
    if vr == "DA":
        return _dates(value)
    if vr == "TM":
        return _times(value)
    if vr in NUMBERS:
        if _NUMBER.fullmatch(value) is None:
            raise QueryMalformed("a key that must be an integer is none")
        return OneNumber(values=frozenset({int(value)}))
    if WILDCARDS.isdisjoint(value):
        return OneOf(values=frozenset({value}))
    return Pattern(text=value)


def combined(date: str, time: str, criteria: Mapping[str, Criterion]) -> DateTimes | None:
    """Return the one range that the keys of a date and a time mean together, None when they mean none.

    Parameters
    ----------
    date, time : str
        Keywords.
    criteria : mapping of str to Criterion
    """
    days, hours = criteria.get(date), criteria.get(time)
    if not isinstance(days, Dates) or not isinstance(hours, Times):
        return None
    return DateTimes(
        date=date,
        time=time,
        first=days.first + hours.first if days.first else "",
        last=LAST if days.last == LAST else days.last + hours.last,
    )


def _dates(value: str) -> Dates:
    first, last = _range(value)
    begin, end = canonical_date(first), canonical_date(last)
    if (first and begin is None) or (last and end is None):
        raise QueryMalformed("a key that must be a date or a range of dates is none: write YYYYMMDD-YYYYMMDD")
    return Dates(first=begin or "", last=end or LAST)


def _times(value: str) -> Times:
    first, last = _range(value)
    begin, end = canonical_time(first), canonical_time(last, padding="9")
    if (first and begin is None) or (last and end is None):
        raise QueryMalformed("a key that must be a time or a range of times is none: write HHMMSS-HHMMSS")
    return Times(first=begin or "0" * DIGITS_OF_TIME, last=end or "9" * DIGITS_OF_TIME)


def _range(value: str) -> tuple[str, str]:
    first, hyphen, last = value.partition("-")
    if not hyphen:
        return value, value
    if not (first or last):
        raise QueryMalformed("a range without beginning and end")
    return first.strip(), last.strip()


def canonical_date(text: str) -> str | None:
    """Return a date as YYYYMMDD, None when it is none (PS3.5 section 6.2, VR DA)."""
    return text if _DATE.fullmatch(text) is not None else None


def canonical_time(text: str, *, padding: str = "0") -> str | None:
    """Return a time as 12 digits, None when it is none (PS3.5 section 6.2, VR TM, with its older form).

    Parameters
    ----------
    text : str
    padding : str
        Digit for what the time leaves out.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    return "".join(part for part in match.groups() if part is not None).ljust(DIGITS_OF_TIME, padding)


def sought_name(name: str) -> str:
    """Return a person name (VR PN) as names are sought: lower case, without accents or needless delimiters.

    Parameters
    ----------
    name : str
        For example ``"MÜLLER^Zoë^^="``.

    Returns
    -------
    str
        For example ``"muller^zoe"``; the component groups are separated by ``=``.
    """
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    folded = unicodedata.normalize("NFKC", _ACCENT.sub("", decomposed))
    groups = []
    for group in folded.split("="):
        components = [" ".join(component.split()) for component in group.split("^")]
        groups.append("^".join(components).rstrip("^"))
    return "=".join(groups).rstrip("=")


def is_described(text: str, pattern: str) -> bool:
    """Whether a pattern describes a text: ``*`` is any run of characters, ``?`` any one character.

    Takes time proportional to the product of the lengths, whatever a peer writes.
    """
    at, place, star, resumed = 0, 0, -1, 0
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, resumed = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in {"?", text[at]}:
            at, place = at + 1, place + 1
        elif star >= 0:
            resumed += 1
            at, place = resumed, star + 1
        else:
            return False
    return not pattern[place:].strip("*")
