"""Objects beside the index, for UIDs are unique (PS3.5 section 9): comparisons, corrections, conflicts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from sqlalchemy import Connection, RowMapping, delete, exists, func, select, update

from node.domain.errors import UnknownSubject
from node.domain.study import CORRECTION_HOLD, AsideReason, Instance, StudyState
from node.domain.wording import ENGLISH
from node.store import rows
from node.store.acts import record_act
from node.store.authority import explains_itself
from node.store.corrections import apply_corrections
from node.store.database import Database
from node.store.differences import contradicting_keywords, differing_keywords
from node.store.holds import hold_study
from node.store.naming import drop_unnamed
from node.store.object_files import LocalObjectFiles
from node.store.overrides import overridden_keywords
from node.store.rows import Aside
from node.store.schema import asides, audit, instances, series, studies

Asides: TypeAlias = list[Aside]
BY_AUTHORITY: Final = ENGLISH("stored.authority")
"""Reason of such a correction, in the log of acts and in the rejection notes of what it withdraws."""
TOGETHER = 500
"""Rows that one statement names at most."""


class AsideRecords:
    """What waits for a comparison, or for a person."""

    def __init__(self, database: Database, files: LocalObjectFiles) -> None:
        self._database = database
        self._files = files

    def to_compare(self, limit: int = 500) -> Asides:
        """Return objects under a known SOP Instance UID that were not compared yet, oldest first."""
        query = select(asides).where(asides.c.reason == AsideReason.TO_COMPARE).order_by(asides.c.id)
        with self._database.read() as connection:
            return _with_existing(connection, connection.execute(query.limit(limit)).mappings().all())

    def same(self, aside_id: int) -> None:
        """Conclude that it is the same image with the same attributes: nothing changed, its file goes."""
        with self._database.write() as connection:
            key = _row(connection, aside_id)["object_key"]
            connection.execute(delete(asides).where(asides.c.id == aside_id))
        drop_unnamed(self._database, self._files, [key])

    def correction(self, aside_id: int, keywords: Sequence[str] = ()) -> None:
        """Conclude that the same pixels came with other attributes: the study is held until it is confirmed.

        Parameters
        ----------
        aside_id : int
        keywords : Sequence[str]
            DICOM keywords of what differs; found from the two headers when empty.
        """
        with self._database.write() as connection:
            found = _with_existing(connection, [_row(connection, aside_id)])[0]
            if not keywords and found.existing is not None:
                keywords = differing_keywords(found.existing.header, found.header)
            named = ", ".join(keywords) or "attributes outside the index"
            _conclude(connection, aside_id, AsideReason.CORRECTION, named)
            hold_study(connection, found.study_id, f"{CORRECTION_HOLD}: {named}")

    def other_pixels(self, aside_id: int) -> None:
        """Conclude that other pixels came under a known UID: quarantined, the first ones stay in force."""
        self._quarantine(aside_id, AsideReason.OTHER_PIXELS, "other pixel data")

    def unreadable(self, aside_id: int, reason: str) -> None:
        """Conclude that the two cannot be compared: quarantined, the first one stays in force."""
        self._quarantine(aside_id, AsideReason.UNREADABLE, reason)

    def confirm_correction(self, study_id: int, by: str, reason: str) -> None:
        """Put the corrections of a held study in force; its results are withdrawn and it settles anew.

        The instances' rows name the corrected objects, the replaced ones are kept aside; objects that were in
        conflict with the old attributes and fit the new ones are admitted. What is in conflict still holds
        the study; so does an instance that the correction has not reached.

        Parameters
        ----------
        study_id : int
        by : str
            Operator.
        reason : str

        Raises
        ------
        UnknownSubject
            There is no such study, or no correction of it.
        IllegalTransition
            The study is not held.
        """
        with self._database.write() as connection:
            self._confirm(connection, study_id, by, reason)

    def confirmable(self, authorities: Collection[str], *, settled_since: datetime) -> list[int]:
        """Return the rows of held studies whose correction came from authorities alone and has ended.

        Whether it is whole and explains the hold is for `confirm_by_source` to find.

        Parameters
        ----------
        authorities : collection of str
            AE titles.
        settled_since : datetime
            Nothing of the correction may have arrived later.
        """
        other = asides.alias("other")
        in_question = other.c.reason.in_([AsideReason.CORRECTION, AsideReason.PATIENT_CONFLICT]) & (
            other.c.calling_ae_title.not_in(authorities) | (other.c.received_at > settled_since)
        )
        query = (
            select(asides.c.study_id)
            .distinct()
            .join(studies, studies.c.id == asides.c.study_id)
            .where(
                asides.c.reason == AsideReason.CORRECTION,
                studies.c.state == StudyState.HELD,
                ~exists().where(
                    other.c.study_id == asides.c.study_id,
                    (other.c.reason == AsideReason.TO_COMPARE) | in_question,
                ),
            )
            .order_by(asides.c.study_id)
        )
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def confirm_by_source(
        self, study_id: int, authorities: Collection[str], *, settled_since: datetime
    ) -> bool:
        """Put a correction in force that came whole, from sources with authority, and explains the hold.

        Whatever an operator decided of the study is left to an operator.

        Parameters
        ----------
        study_id : int
        authorities : collection of str
            AE titles.
        settled_since : datetime
            Nothing of the correction may have arrived later.

        Returns
        -------
        bool
            False, and nothing is written, when that is not so.
        """
        with self._database.read() as connection:
            if not _sources(connection, study_id, authorities, settled_since):
                return False
        with self._database.write() as connection:
            # Looked at again under the lock: another object may have arrived just now.
            sources = _sources(connection, study_id, authorities, settled_since)
            if sources:
                self._confirm(connection, study_id, ", ".join(sources), BY_AUTHORITY)
        return bool(sources)

    def _confirm(self, connection: Connection, study_id: int, by: str, reason: str) -> None:
        now = self._database.clock.now()
        record_act(
            connection, at=now, by=by, action="confirm-correction", subject=f"study {study_id}", reason=reason
        )
        apply_corrections(connection, study_id, by=by, reason=reason, at=now)

    def list(self, study_id: int | None = None) -> Asides:
        """Return everything that lies aside, of one study or of all, oldest first."""
        query = select(asides).order_by(asides.c.id)
        if study_id is not None:
            query = query.where(asides.c.study_id == study_id)
        with self._database.read() as connection:
            return _with_existing(connection, connection.execute(query).mappings().all())

    def _quarantine(self, aside_id: int, reason: AsideReason, detail: str) -> None:
        """Keep the object and flag it; whose images they are is a question whatever the pixels show."""
        with self._database.write() as connection:
            found = _with_existing(connection, [_row(connection, aside_id)])[0]
            _conclude(connection, aside_id, reason, detail)
            if found.existing is None:
                return
            keywords = contradicting_keywords(found.existing.header, found.header)
            if keywords:
                named = ", ".join(keywords)
                hold_study(connection, found.study_id, f"an object under a known UID differs in {named}")


def _was_declined(connection: Connection, study_id: int, found: Asides) -> bool:
    """Whether an operator has seen one of the corrections and let the study go on without it."""
    query = select(func.max(audit.c.at)).where(
        audit.c.action == "release", audit.c.subject == f"study {study_id}"
    )
    released_at = connection.execute(query).scalar()
    return released_at is not None and any(
        item.reason is AsideReason.CORRECTION and item.received_at <= released_at for item in found
    )


def _row(connection: Connection, aside_id: int) -> RowMapping:
    found = connection.execute(select(asides).where(asides.c.id == aside_id)).mappings().first()
    if found is None:
        raise UnknownSubject(f"nothing lies aside under the number {aside_id}")
    return found


def _conclude(connection: Connection, aside_id: int, reason: AsideReason, detail: str) -> None:
    _row(connection, aside_id)
    connection.execute(update(asides).where(asides.c.id == aside_id).values(reason=reason, detail=detail))


def _with_existing(connection: Connection, found: Sequence[RowMapping]) -> Asides:
    """Return rows of ``asides`` with the instances in force that they came beside."""
    ids = [row["existing_id"] for row in found if row["existing_id"] is not None]
    existing: dict[int | None, Instance] = {}
    for first in range(0, len(ids), TOGETHER):
        query = select(instances).where(instances.c.id.in_(ids[first : first + TOGETHER]))
        made = [rows.instance(row) for row in connection.execute(query).mappings()]
        existing |= {item.id: item for item in made}
    return [rows.aside(row, existing.get(row["existing_id"])) for row in found]


def _sources(
    connection: Connection, study_id: int, authorities: Collection[str], settled_since: datetime
) -> list[str]:
    """Return who corrected a study, where nobody else needs to be asked; else nothing."""
    query = select(studies.c.state, studies.c.hold_reason).where(studies.c.id == study_id)
    study = connection.execute(query).one()
    if study.state != StudyState.HELD or overridden_keywords(connection, study_id):
        return []
    aside_rows = connection.execute(select(asides).where(asides.c.study_id == study_id).order_by(asides.c.id))
    found = _with_existing(connection, aside_rows.mappings().all())
    if _was_declined(connection, study_id, found):
        return []
    members = select(instances).join(series, series.c.id == instances.c.series_id)
    held = connection.execute(members.where(series.c.study_id == study_id)).mappings()
    explained = explains_itself(
        study.hold_reason,
        found,
        [rows.instance(row) for row in held],
        authorities=authorities,
        settled_since=settled_since,
    )
    titles = {item.calling_ae_title for item in found if item.reason is AsideReason.CORRECTION}
    return sorted(titles) if explained else []
