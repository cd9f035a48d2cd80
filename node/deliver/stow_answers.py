"""What DICOMweb servers answer: to STOW-RS, QIDO-RS and WADO-RS, in the DICOM JSON model (PS3.18 annex F)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from node.dimse.status import meaning_of
from node.domain.delivery import SendReply
from node.http.session import Answer

FAILED_SOP_SEQUENCE: Final = "00081198"
REFERENCED_SOP_SEQUENCE: Final = "00081199"
REFERENCED_SOP_INSTANCE_UID: Final = "00081155"
FAILURE_REASON: Final = "00081197"
WARNING_REASON: Final = "00081196"
SOP_INSTANCE_UID: Final = "00080018"
DUPLICATE: Final = 0x0111
"""Duplicate SOP instance (PS3.7 C.5.7): a failure, but one that leaves the object there."""
CONFLICT: Final = 409  # PS3.18 10.5.3.1: no instance was stored


def stored(answer: Answer, delivery_id: int, sop_instance_uid: str) -> SendReply:
    """Return what became of the one instance of a request (PS3.18 section 10.5.3).

    A status of success counts only where the response does not name the instance among the failed ones; a
    server that gives no list is taken at its status.
    """

    def reply(*, delivered: bool, retryable: bool = False, detail: str) -> SendReply:
        return SendReply(
            delivery_id=delivery_id,
            delivered=delivered,
            retryable=retryable,
            detail=f"{answer.text}: {detail}" if detail else answer.text,
        )

    if not answer.success and answer.status != CONFLICT:
        return reply(delivered=False, retryable=answer.retryable, detail="")
    response = answer.json()
    failed = _named(response, FAILED_SOP_SEQUENCE, sop_instance_uid)
    reason = _number(failed, FAILURE_REASON)
    if reason:
        meaning = meaning_of(reason)
        return reply(delivered=reason == DUPLICATE, retryable=meaning.retryable, detail=meaning.text)
    if failed is not None or not answer.success:
        return reply(delivered=False, detail="no reason given")
    taken = _named(response, REFERENCED_SOP_SEQUENCE, sop_instance_uid)
    if taken is None:
        return reply(delivered=True, detail="no list of instances")
    warning = _number(taken, WARNING_REASON)
    return reply(delivered=True, detail=meaning_of(warning).text if warning else "")


def names(answer: Answer, sop_instance_uid: str) -> bool:
    """Whether an answer of QIDO-RS or WADO-RS metadata is about the instance."""
    found = answer.json() if answer.success else None
    items = found if isinstance(found, list) else []
    return any(sop_instance_uid in _values(item, SOP_INSTANCE_UID) for item in items)


def is_list(answer: Answer) -> bool:
    """Whether an answer is one of QIDO-RS, if only that nothing was found (PS3.18 section 10.6.3)."""
    return answer.status == 204 or (answer.success and isinstance(answer.json(), list))


def _named(response: Any, sequence: str, sop_instance_uid: str) -> Any:
    """Return the item of a sequence that names the instance, or None."""
    responses = response if isinstance(response, list) else [response]
    items = (item for one in responses for item in _values(one, sequence))
    return next(
        (item for item in items if sop_instance_uid in _values(item, REFERENCED_SOP_INSTANCE_UID)), None
    )


def _number(item: Any, tag: str) -> int:
    """Return the value of an attribute of VR US; 0 where there is none."""
    found = (value for value in _values(item, tag) if isinstance(value, int) and 0 <= value <= 0xFFFF)
    return next(found, 0)


def _values(item: Any, tag: str) -> Iterator[Any]:
    """Iterate over the values of an attribute, whatever was sent in its place."""
    attribute = item.get(tag) if isinstance(item, dict) else None
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    yield from values if isinstance(values, list) else ()
