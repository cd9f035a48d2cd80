"""Whether a correction explains all that its study is held for: then its source may put it in force."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from node.domain.study import (
    CORRECTION_HOLD,
    PATIENT_HOLD,
    STUDY_CONFLICT,
    AsideReason,
    Instance,
    InstanceHeader,
)
from node.store.differences import STUDY_ATTRIBUTES, differing_keywords, uncorrected
from node.store.holds import REASON_SEPARATOR
from node.store.rows import Aside

EXPLAINED = (PATIENT_HOLD, STUDY_CONFLICT)
"""Reasons for a hold that a correction of the patient brings with it; what caused them lies aside."""


def explains_itself(
    hold_reason: str,
    found: Sequence[Aside],
    instances: Sequence[Instance],
    *,
    authorities: Collection[str],
    settled_since: datetime,
) -> bool:
    """Whether the corrections of a held study may come in force without an operator.

    They must have come from authorities alone, have come to an end, have reached every instance, and leave
    nothing that contradicts them.

    Parameters
    ----------
    hold_reason : str
        Of the study.
    found : sequence of Aside
        Everything that lies aside of the study, oldest first.
    instances : sequence of Instance
        Of the whole study.
    authorities : collection of str
        AE titles.
    settled_since : datetime
        Nothing of it may have arrived later.
    """
    corrections = [item for item in found if item.reason is AsideReason.CORRECTION]
    conflicts = [item for item in found if item.reason is AsideReason.PATIENT_CONFLICT]
    if not corrections or any(item.reason is AsideReason.TO_COMPARE for item in found):
        return False
    corrected = corrections[-1].header
    return (
        all(_is_explained(reason) for reason in hold_reason.split(REASON_SEPARATOR))
        and all(item.calling_ae_title in authorities for item in (*corrections, *conflicts))
        and all(item.received_at <= settled_since for item in (*corrections, *conflicts))
        and all(fits(item, corrected) for item in conflicts)
        and _reaches_all(corrections, instances)
    )


def fits(conflict: Aside, corrected: InstanceHeader) -> bool:
    """Whether an object in conflict is a new one of the study as it is after the correction."""
    return conflict.existing is None and (conflict.header.study_instance_uid, conflict.header.patient) == (
        corrected.study_instance_uid,
        corrected.patient,
    )


def _is_explained(reason: str) -> bool:
    return reason.startswith(CORRECTION_HOLD) or reason in EXPLAINED


def _reaches_all(corrections: Sequence[Aside], instances: Sequence[Instance]) -> bool:
    """Whether no instance would bear another patient or study than the last correction says."""
    last = corrections[-1].header
    after = {item.id: item.header for item in instances}
    changed: set[str] = set()
    for item in corrections:
        if item.existing is not None:
            changed |= set(differing_keywords(item.existing.header, item.header, STUDY_ATTRIBUTES))
            after[item.existing.id] = item.header
    return not any(uncorrected(header, last, sorted(changed)) for header in after.values())
