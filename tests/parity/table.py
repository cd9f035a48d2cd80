"""Rows of the parity tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison."""

    what: str
    against: str
    found: float
    """Largest difference, in the table's unit."""
    tolerance: float | None
    """None: shown, not judged."""

    @property
    def holds(self) -> bool:
        """Whether the difference is a number within the tolerance."""
        return self.tolerance is None or self.found <= self.tolerance


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows with one unit."""

    title: str
    unit: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """Return the table as aligned lines."""
        lines = ["", self.title, f"{'':<46}{'against':<34}{self.unit:>24}{'at most':>10}"]
        for row in self.rows:
            most = "shown" if row.tolerance is None else f"{row.tolerance:.0e}"
            verdict = "" if row.holds else "   TOO FAR"
            lines.append(f"{row.what:<46}{row.against:<34}{row.found:>24.1e}{most:>10}{verdict}")
        return "\n".join([*lines, *self.notes, ""])

    @property
    def holds(self) -> bool:
        """Whether every row does, and there is one."""
        return bool(self.rows) and all(row.holds for row in self.rows)
