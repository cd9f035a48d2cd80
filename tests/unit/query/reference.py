"""A plain reference of PS3.4 C.2.2.2, slow and obvious, written apart from the node's own matching."""

from __future__ import annotations

import re
import unicodedata

MICROSECONDS = (3_600_000_000, 60_000_000, 1_000_000)


def plain_letters(text: str) -> str:
    """The letters of a name as a clerk would type them, in lower case."""
    letters = []
    for character in unicodedata.normalize("NFKC", text).casefold():
        for part in unicodedata.normalize("NFD", character):
            if not "\u0300" <= part <= "\u036f":
                letters.append(part)
    return unicodedata.normalize("NFC", "".join(letters))


def described(pattern: str, text: str) -> bool:
    parts = {"*": "(?:.*)", "?": "."}
    return (
        re.fullmatch("".join(parts.get(item, re.escape(item)) for item in pattern), text, re.DOTALL)
        is not None
    )


def groups_of(name: str) -> list[str]:
    groups = [
        re.sub(r"\^+$", "", "^".join(" ".join(part.split()) for part in group.split("^")))
        for group in plain_letters(name).split("=")
    ]
    while len(groups) > 1 and not groups[-1]:
        groups.pop()
    return groups


def name_matches(key: str, value: str) -> bool:
    wanted, there = groups_of(key), groups_of(value)
    if len(wanted) == 1:
        return any(group and described(wanted[0], group) for group in there)
    there += [""] * (len(wanted) - len(there))
    pairs = zip(wanted, there, strict=False)
    return all(not want or set(want) == {"*"} or described(want, group) for want, group in pairs)


def time_span(text: str) -> tuple[int, int] | None:
    """The first and last microsecond of a day that a time means."""
    match = re.fullmatch(r"([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]{1,6}))?)?)?", text)
    if match is None:
        return None
    begin, smallest = 0, MICROSECONDS[0]
    for unit, digits in zip(MICROSECONDS, match.groups()[:3], strict=True):
        if digits is not None:
            begin, smallest = begin + int(digits) * unit, unit
    if match.group(4):
        smallest = 10 ** (6 - len(match.group(4)))
        begin += int(match.group(4)) * smallest
    return begin, begin + smallest - 1


def time_matches(key: str, value: str) -> bool:
    moment = time_span(value)
    if moment is None:
        return False
    first, hyphen, last = key.partition("-")
    last = last if hyphen else first
    begin = time_span(first)[0] if first else 0
    end = time_span(last)[1] if last else 10**18
    return begin <= moment[0] <= end


def date_matches(key: str, value: str) -> bool:
    if re.fullmatch("[0-9]{8}", value) is None:
        return False
    first, hyphen, last = key.partition("-")
    last = last if hyphen else first
    return int(first or 0) <= int(value) <= int(last or 10**9)


def matches(vr: str, key: str, values: tuple[str, ...]) -> bool:
    """Whether any of an attribute's values matches any of a key's values."""
    wanted = [item.strip() for item in key.split("\\") if item.strip()]
    if not wanted or any(set(item) == {"*"} for item in wanted):
        return True
    if vr == "PN" and any(all(set(group) <= {"*"} for group in groups_of(item)) for item in wanted):
        return True
    values = tuple(value for value in values if value)
    return any(one_matches(vr, item, value) for item in wanted for value in values)


def one_matches(vr: str, key: str, value: str) -> bool:
    if vr == "UI":
        return key == value
    if vr == "PN":
        return name_matches(key, value)
    if vr == "DA":
        return date_matches(key, value)
    if vr == "TM":
        return time_matches(key, value)
    if vr in {"IS", "US"}:
        return int(key) == int(value)
    return described(key, value)
