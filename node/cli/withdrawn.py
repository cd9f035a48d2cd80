"""What was withdrawn or put right of a study, as JSON objects. No value of an attribute: it may be a name."""

from __future__ import annotations

from typing import Any

from node.store.overrides import Override
from node.store.withdrawals import Withdrawn


def withdrawal_record(item: Withdrawn) -> dict[str, Any]:
    """Return one version that was taken back, and what became of its rejection note."""
    return {
        "model": item.model.name,
        "version": item.version,
        "title": item.title.value,
        "by": item.by,
        "reason": item.reason,
        "at": item.at.isoformat(),
        "note": _note(item),
        "note_sop_instance_uid": item.note,
        "destinations": list(item.destinations),
    }


def override_record(item: Override) -> dict[str, Any]:
    """Return one attribute that was put right, without its value."""
    return {
        "keyword": item.keyword,
        "by": item.by,
        "reason": item.reason,
        "at": item.at.isoformat(),
    }


def _note(item: Withdrawn) -> str:
    if item.note:
        return "made"
    return "needless: nothing had left" if item.noted_at is not None else "to be made"
