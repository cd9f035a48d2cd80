"""Results that were taken back, and who has to be told.

A version is withdrawn inside the transaction of the act that withdraws it: from then on nothing of it leaves.
What may have left is taken back by a rejection note, which is made later from the row that the act wrote; a
stop in between loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, insert, or_, select, update

from node.domain.delivery import DeliveryState
from node.domain.errors import StoreError, UnknownSubject
from node.domain.job import Purpose, ScreeningState
from node.domain.model import ModelIdentity
from node.domain.result import ResultKind, ResultObject, ResultState, Withdrawal
from node.store import rows
from node.store.acts import record_act
from node.store.database import Database
from node.store.evidence import decode_model
from node.store.jobs import ACTIVE
from node.store.naming import drop_unnamed
from node.store.object_files import LocalObjectFiles
from node.store.schema import (
    deliveries,
    findings,
    result_objects,
    result_versions,
    screenings,
    studies,
    version_objects,
)
from node.store.schema_delivery import withdrawals
from node.store.versions import KIND_RANK, ensure_object, retire_versions


@dataclass(frozen=True, kw_only=True)
class Withdrawn:
    """A version that was taken back."""

    id: int
    study_id: int
    study_instance_uid: str
    model: ModelIdentity
    """Which model made it."""
    version: int
    title: Withdrawal
    by: str
    """An operator, or the AE title of a source with authority."""
    reason: str
    at: datetime
    objects: Sequence[ResultObject]
    """Everything that the version consists of, in the order of sending."""
    destinations: Sequence[str]
    """Whoever may have any of it, by name."""
    noted_at: datetime | None
    """When the rejection note was made, or found to be needless; None while that is to be done."""
    note: str
    """SOPInstanceUID of the rejection note; empty where there is none."""


class WithdrawalRecords:
    """Withdrawing results, and the rejection notes that follow."""

    def __init__(self, database: Database, files: LocalObjectFiles) -> None:
        self._database = database
        self._files = files

    def withdraw(
        self, study_id: int, *, model_name: str | None = None, title: Withdrawal, by: str, reason: str
    ) -> int:
        """Withdraw every version of a study's results by an operator's order; returns how many.

        What is on its way to become a result of the same models is cancelled: it may be what the order is
        about. Images that arrive later are screened, as they always are.

        Parameters
        ----------
        study_id : int
        model_name : str, optional
            Only results of this model; by default of all.
        title : Withdrawal
        by, reason : str
            For the audit trail and the rejection note.

        Raises
        ------
        UnknownSubject
            There is no such study, or it has no results that are not withdrawn.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            subject = f"study {study_id}" + (f", model {model_name}" if model_name is not None else "")
            record_act(connection, at=now, by=by, action="withdraw", subject=subject, reason=reason)
            count = withdraw_versions(
                connection, study_id, model_name, title=title, by=by, reason=reason, at=now
            )
            if not count:
                raise UnknownSubject("there are no results to withdraw; see `studies show`")
            _cancel_screenings(connection, study_id, model_name, at=now)
        return count

    def to_note(self, limit: int = 100) -> list[Withdrawn]:
        """Return what waits for its rejection note, oldest first."""
        return self._read(withdrawals.c.noted_at.is_(None), limit=limit)

    def for_study(self, study_id: int) -> list[Withdrawn]:
        """Return everything that was withdrawn of a study, oldest first."""
        return self._read(result_versions.c.study_id == study_id)

    def noted(self, withdrawal_id: int, note: ResultObject | None) -> bool:
        """Put a rejection note on its way to whoever may have an object of the version.

        Parameters
        ----------
        withdrawal_id : int
        note : ResultObject or None
            Durable in the object files; None where no object had left.

        Returns
        -------
        bool
            False, and nothing is written, when that was done meanwhile.

        Raises
        ------
        StoreError
            Objects had left and there is no note.
        ObjectMissing
            The note's file is not there.
        """
        now = self._database.clock.now()
        written = False
        with self._database.write() as connection:
            row = connection.execute(_select().where(withdrawals.c.id == withdrawal_id)).mappings().one()
            if row["noted_at"] is None:
                object_id = None
                reached = _reached(connection, row["version_id"])
                if reached and note is None:
                    raise StoreError("objects of a withdrawn version had left; its rejection note is missing")
                if reached and note is not None:
                    self._files.path(note.object_key)
                    object_id = ensure_object(connection, row["study_id"], note)
                    _send(connection, object_id, reached, at=now)
                connection.execute(
                    update(withdrawals)
                    .where(withdrawals.c.id == withdrawal_id)
                    .values(object_id=object_id, noted_at=now)
                )
                written = True
        if note is not None:
            drop_unnamed(self._database, self._files, [note.object_key])
        return written

    def _read(self, condition: ColumnElement[bool], limit: int | None = None) -> list[Withdrawn]:
        query = _select().where(condition).order_by(withdrawals.c.id).limit(limit)
        with self._database.read() as connection:
            return [_withdrawn(connection, row) for row in connection.execute(query).mappings().all()]


def withdraw_versions(
    connection: Connection,
    study_id: int,
    model_name: str | None,
    *,
    title: Withdrawal,
    by: str,
    reason: str,
    at: datetime,
) -> int:
    """Take every version back that is not yet, superseded ones too, and write down that it is to be noted.

    Returns how many versions that were; what was not sent of them is cancelled.
    """
    query = select(result_versions.c.id).where(
        result_versions.c.study_id == study_id, result_versions.c.state != ResultState.WITHDRAWN
    )
    if model_name is not None:
        query = query.where(result_versions.c.model_name == model_name)
    versions = connection.execute(query.order_by(result_versions.c.id)).scalars().all()
    if versions:
        said = {"title": title, "by": by.strip(), "reason": reason.strip(), "at": at}
        connection.execute(insert(withdrawals), [{"version_id": version, **said} for version in versions])
        retire_versions(connection, study_id, model_name, ResultState.WITHDRAWN, at=at)
    return len(versions)


def _cancel_screenings(
    connection: Connection, study_id: int, model_name: str | None, *, at: datetime
) -> None:
    chosen = [
        screenings.c.study_id == study_id,
        screenings.c.purpose == Purpose.REPORT,
        screenings.c.state.in_(ACTIVE),
    ]
    if model_name is not None:
        chosen.append(screenings.c.model_name == model_name)
    connection.execute(
        update(screenings)
        .where(*chosen)
        .values(state=ScreeningState.CANCELLED, ended_at=at, detail="the results were withdrawn")
    )


def _reached(connection: Connection, version_id: int) -> list[str]:
    """Return the destinations that may have an object of a version.

    An attempt whose answer was lost may have succeeded, so every attempt counts.
    """
    may_be_there = or_(
        deliveries.c.state.in_([DeliveryState.SENDING, DeliveryState.SENT, DeliveryState.DELIVERED]),
        deliveries.c.attempts > 0,
        deliveries.c.tried_before,
        deliveries.c.accepted_at.is_not(None),
    )
    query = (
        select(deliveries.c.destination)
        .join(version_objects, version_objects.c.object_id == deliveries.c.object_id)
        .where(version_objects.c.version_id == version_id, may_be_there)
    )
    return list(connection.execute(query.distinct().order_by(deliveries.c.destination)).scalars())


def _send(connection: Connection, object_id: int, destinations: Sequence[str], *, at: datetime) -> None:
    known = select(deliveries.c.destination).where(deliveries.c.object_id == object_id)
    present = set(connection.execute(known).scalars())
    due = [
        {
            "object_id": object_id,
            "destination": name,
            "state": DeliveryState.PENDING,
            "due_at": at,
            "changed_at": at,
        }
        for name in destinations
        if name not in present
    ]
    if due:
        connection.execute(insert(deliveries), due)


def _select() -> Select[Any]:
    return (
        select(
            withdrawals,
            result_versions.c.study_id,
            result_versions.c.version,
            studies.c.study_instance_uid,
            findings.c.model,
            result_objects.c.sop_instance_uid.label("note"),
        )
        .join(result_versions, result_versions.c.id == withdrawals.c.version_id)
        .join(studies, studies.c.id == result_versions.c.study_id)
        .join(findings, findings.c.screening_id == result_versions.c.screening_id)
        .join(result_objects, result_objects.c.id == withdrawals.c.object_id, isouter=True)
    )


def _withdrawn(connection: Connection, row: RowMapping) -> Withdrawn:
    query = (
        select(result_objects)
        .join(version_objects, version_objects.c.object_id == result_objects.c.id)
        .where(version_objects.c.version_id == row["version_id"])
        .where(result_objects.c.kind != ResultKind.REJECTION)
        .order_by(KIND_RANK, result_objects.c.object_index)
    )
    return Withdrawn(
        id=row["id"],
        study_id=row["study_id"],
        study_instance_uid=row["study_instance_uid"],
        model=decode_model(row["model"]),
        version=row["version"],
        title=Withdrawal(row["title"]),
        by=row["by"],
        reason=row["reason"],
        at=row["at"],
        objects=[rows.result_object(item) for item in connection.execute(query).mappings()],
        destinations=_reached(connection, row["version_id"]),
        noted_at=row["noted_at"],
        note=row["note"] or "",
    )
