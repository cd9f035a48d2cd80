"""How old a patient was, from dates as they stand in headers."""

from __future__ import annotations

import re
from datetime import date

DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")  # VR DA, with the ACR-NEMA form of PS3.5 section 6.2


def years_between(born: str, seen: str) -> float | None:
    """Return the whole years from PatientBirthDate to StudyDate; None where they do not say."""
    first, last = _date(born), _date(seen)
    if first is None or last is None or last < first:
        return None
    return float(last.year - first.year - ((last.month, last.day) < (first.month, first.day)))


def _date(text: str) -> date | None:
    match = DATE.fullmatch(text)
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
