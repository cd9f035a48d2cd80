"""Whether this node may commit itself to keep an instance, as one pure function.

A success lets the peer delete its own copy. So nothing is committed to while anything is in doubt: whether
the bytes are whole, which of two objects of one UID is meant, whether the archive has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from node.domain.commitment import (
    CLASS_CONFLICT,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    Ground,
    InstanceFacts,
)


class Step(StrEnum):
    """What is to be done about one instance of a request."""

    WAIT = "wait"
    VERIFY = "verify"
    """Read its bytes and compare them with their digest."""
    RELAY = "relay"
    """Ask the archive."""
    COMMIT = "commit"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is to be done, and why not more."""

    step: Step
    reason: int = 0
    """Failure Reason (0008,1197) of `FAIL`."""


def decide(facts: InstanceFacts, ground: Ground, *, arrival_over: bool, relay_over: bool) -> Decision:
    """Decide on one instance.

    Parameters
    ----------
    facts : InstanceFacts
    ground : Ground
        On what ground this node commits itself at all.
    arrival_over : bool
        Whether it was waited for long enough to come in, and to be compared.
    relay_over : bool
        Whether the archive had long enough to commit itself.
    """
    if facts.set_aside:
        return Decision(step=Step.FAIL, reason=PROCESSING_FAILURE)
    if facts.object_key is None or facts.waits_for_comparison:
        reason = NO_SUCH_INSTANCE if facts.object_key is None else PROCESSING_FAILURE
        return Decision(step=Step.FAIL, reason=reason) if arrival_over else Decision(step=Step.WAIT)
    if facts.sop_class_uid != facts.asked.sop_class_uid:
        return Decision(step=Step.FAIL, reason=CLASS_CONFLICT)
    if not facts.verified:
        return Decision(step=Step.VERIFY)
    if ground is Ground.KEEP:
        return Decision(step=Step.COMMIT)
    return Decision(step=Step.FAIL, reason=PROCESSING_FAILURE) if relay_over else Decision(step=Step.RELAY)
