"""What is forgotten of peers and archives when it has been over for long."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kept(StrEnum):
    """What is kept for a while after it has ended."""

    ANNOUNCEMENTS = "announcements"
    """Performed procedure steps and notifications of availability, with what they list."""
    COMMITMENTS = "commitment requests"
    """Requests for storage commitment that were reported on, with their relays."""
    PULLS = "pulls"
    """What was fetched from archives, with its series."""
    ASSOCIATIONS = "associations"
    """Who called, and which series came by it."""
    QUESTIONS = "questions for proof"
    """Storage commitment that was asked of destinations, with the deliveries that it was asked for."""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What was forgotten, or would be."""

    kind: Kept
    count: int
    rows: int
    """Of the tables, those that hang on others with them."""
