"""Attributes under which the results of a study are issued in place of the received ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from node.dicom.overrides import checked, overtaken
from node.domain.errors import AttributeRefused, UnknownSubject
from node.domain.result import Withdrawal
from node.domain.study import StudyState
from node.store.acts import record_act
from node.store.database import Database
from node.store.holds import hold_study, release_study
from node.store.schema import studies
from node.store.schema_delivery import study_overrides
from node.store.withdrawals import withdraw_versions


@dataclass(frozen=True, kw_only=True)
class Override:
    """One attribute that an operator has put right."""

    keyword: str
    value: str
    by: str
    reason: str
    at: datetime


class OverrideRecords:
    """What operators have put right beside the received objects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def correct(
        self,
        study_id: int,
        values: Mapping[str, str],
        *,
        unset: Collection[str] = (),
        by: str,
        reason: str,
    ) -> None:
        """Put attributes right, or take that back; the study's results are withdrawn and issued again.

        Parameters
        ----------
        study_id : int
        values : mapping
            Value by keyword; what was put right before and is not named stays.
        unset : collection of str
            Keywords for which the received value holds again.
        by, reason : str
            For the audit trail, which names keywords and never values.

        Raises
        ------
        AttributeRefused
            An attribute or its value is not allowed, or nothing is changed by the order.
        UnknownSubject
            There is no such study.
        """
        wanted = {keyword: checked(keyword, value) for keyword, value in values.items()}
        now = self._database.clock.now()
        with self._database.write() as connection:
            if connection.execute(select(studies.c.id).where(studies.c.id == study_id)).first() is None:
                raise UnknownSubject(f"there is no study {study_id}; see `studies list`")
            _refuse_idle(wanted, unset, _values(connection, study_id))
            _record(connection, study_id, wanted, unset, by=by, reason=reason, at=now)
            _delete(connection, study_id, {*unset, *wanted})
            if wanted:
                said = {"study_id": study_id, "by": by.strip(), "reason": reason.strip(), "at": now}
                rows = [{"keyword": keyword, "value": wanted[keyword], **said} for keyword in sorted(wanted)]
                connection.execute(insert(study_overrides), rows)
            withdraw_versions(
                connection, study_id, None, title=Withdrawal.PATIENT_SAFETY, by=by, reason=reason, at=now
            )
            _judge_again(connection, study_id)

    def of(self, study_id: int) -> dict[str, str]:
        """Return what is put right of a study: value by keyword."""
        with self._database.read() as connection:
            return _values(connection, study_id)

    def list(self, study_id: int) -> list[Override]:
        """Return what is put right of a study, by whom and why, in the order of keywords."""
        query = select(study_overrides).where(study_overrides.c.study_id == study_id)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(study_overrides.c.keyword)).all()
        return [
            Override(keyword=row.keyword, value=row.value, by=row.by, reason=row.reason, at=row.at)
            for row in found
        ]


def overridden_keywords(connection: Connection, study_id: int) -> list[str]:
    """Return which attributes of a study are put right, in order."""
    return sorted(_values(connection, study_id))


def drop_overridden(
    connection: Connection, study_id: int, corrected: Collection[str], *, by: str, at: datetime
) -> None:
    """Let go what a later, confirmed correction of the received objects decides anew."""
    void = overtaken(overridden_keywords(connection, study_id), corrected)
    if void:
        _delete(connection, study_id, void)
        reason = "a confirmed correction of the received objects decides anew"
        _record(connection, study_id, {}, void, by=by, reason=reason, at=at)


def _values(connection: Connection, study_id: int) -> dict[str, str]:
    query = select(study_overrides.c.keyword, study_overrides.c.value).where(
        study_overrides.c.study_id == study_id
    )
    return {row.keyword: row.value for row in connection.execute(query)}


def _refuse_idle(wanted: Mapping[str, str], unset: Collection[str], kept: Mapping[str, str]) -> None:
    """Refuse an order that changes nothing, for it would withdraw results all the same."""
    both = sorted(set(wanted) & set(unset))
    if both:
        raise AttributeRefused(f"{', '.join(both)}: set and unset at once; name each attribute once")
    idle = sorted(set(unset) - kept.keys())
    if idle:
        raise AttributeRefused(f"{', '.join(map(ascii, idle))}: not corrected before; see `studies show`")
    if not unset and all(kept.get(keyword) == value for keyword, value in wanted.items()):
        raise AttributeRefused("nothing is changed by this; see `studies show` for what is corrected")


def _delete(connection: Connection, study_id: int, keywords: Collection[str]) -> None:
    connection.execute(
        delete(study_overrides).where(
            study_overrides.c.study_id == study_id, study_overrides.c.keyword.in_(keywords)
        )
    )


def _record(
    connection: Connection,
    study_id: int,
    wanted: Mapping[str, str],
    unset: Collection[str],
    *,
    by: str,
    reason: str,
    at: datetime,
) -> None:
    named = [*(f"{keyword} set" for keyword in sorted(wanted)), *(f"{item} unset" for item in sorted(unset))]
    subject = f"study {study_id}: {', '.join(named)}"
    record_act(connection, at=at, by=by, action="correct", subject=subject, reason=reason)


def _judge_again(connection: Connection, study_id: int) -> None:
    """Void what is being screened; a settled study settles anew, by the table's own steps."""
    connection.execute(
        update(studies).where(studies.c.id == study_id).values(revision=studies.c.revision + 1)
    )
    state = connection.execute(select(studies.c.state).where(studies.c.id == study_id)).scalar_one()
    if state == StudyState.SETTLED:
        hold_study(connection, study_id, "corrected by hand")
        release_study(connection, study_id)
