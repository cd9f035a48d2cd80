"""The audit trail of operators' acts, written inside the transaction of the act itself."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert

from node.domain.errors import StoreError
from node.store.schema import audit


def record_act(
    connection: Connection, *, at: datetime, by: str, action: str, subject: str, reason: str
) -> None:
    """Write who did what to what, and why.

    Raises
    ------
    StoreError
        Name or reason is empty.
    """
    if not by.strip() or not reason.strip():
        raise StoreError(f"{action} needs the name of who does it (--by) and a reason (--reason)")
    connection.execute(
        insert(audit).values(at=at, by=by.strip(), action=action, subject=subject, reason=reason.strip())
    )
