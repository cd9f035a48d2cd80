"""The machine's clock and its source of new identifiers: the only place that reads either."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime


class SystemClock:
    """The machine's clock. Implements ``Clock``."""

    def now(self) -> datetime:
        """Return the time of day, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start."""
        return time.monotonic()


class RandomUids:
    """New identifiers from the machine's randomness. Implements ``UidSource``."""

    def uid(self) -> str:
        """Return a new UID under 2.25 (PS3.5 B.2)."""
        return f"2.25.{uuid.uuid4().int}"

    def token(self) -> str:
        """Return a new short name."""
        return uuid.uuid4().hex[:16]
