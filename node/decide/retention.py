"""Which studies may be removed, and which rule removes one.

Two questions that are kept apart. What a study is protected by asks no rule: nothing in the settings can make
the node remove what is not proven delivered, or what somebody still has to look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from node.domain.retention import Answer, Extent, RetentionRule, Room, StudyFacts
from node.domain.study import StudyState


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What becomes of one study."""

    rule: RetentionRule | None
    """The rule that removes it; None where it stays."""
    extent: Extent | None
    """How much goes; None where it stays."""
    reason: str
    """Why, in one sentence without patient data."""


def judge(facts: StudyFacts, rules: Sequence[RetentionRule], *, now: datetime, room: Room) -> Decision:
    """Return what becomes of a study: the first rule counts that applies and may remove it.

    Parameters
    ----------
    facts : StudyFacts
    rules : sequence of RetentionRule
    now : datetime
    room : Room
        As it is once everything that was decided before is gone.
    """
    protected = protection(facts)
    if protected:
        return Decision(rule=None, extent=None, reason=protected)
    kept = "no rule applies"
    for rule in rules:
        if not _applies(rule, facts, now=now, room=room):
            continue
        kept = _unproven(rule, facts)
        if kept:
            continue
        extent = extent_of(rule, facts)
        kept = _keeps_whole(facts) if extent is Extent.STUDY else ""
        if not kept:
            return Decision(rule=rule, extent=extent, reason=_why(rule, facts, now=now, room=room))
    return Decision(rule=None, extent=None, reason=kept)


def may_apply(rule: RetentionRule, room: Room) -> bool:
    """Whether a rule may apply to any study while it is so full."""
    return (rule.more_studies_than is None or room.studies > rule.more_studies_than) and (
        rule.free_below is None or room.free_bytes < rule.free_below
    )


def protection(facts: StudyFacts) -> str:
    """Return why no rule may remove anything of a study; empty where one may."""
    reasons = (
        (facts.kept_by_order, "kept by an operator's order"),
        (facts.promised, "this node was asked to keep instances of it (storage commitment)"),
        (facts.state is StudyState.HELD, "held"),
        (facts.state is StudyState.RECEIVING, "not settled"),
        (facts.in_screening, "in screening"),
        (facts.screening_failed, "its screening failed"),
        (facts.set_aside, "objects of it are set aside"),
        (facts.withdrawal_pending, "a rejection note is to be made"),
        (facts.undelivered > 0, "results of it are on their way, or were refused"),
    )
    return next((reason for is_so, reason in reasons if is_so), "")


def extent_of(rule: RetentionRule, facts: StudyFacts) -> Extent:
    """Return how much a rule removes: a study of which nothing would be left to find goes as a whole."""
    return rule.remove if facts.shown else Extent.STUDY


def _applies(rule: RetentionRule, facts: StudyFacts, *, now: datetime, room: Room) -> bool:
    has_results = facts.versions_in_force > 0
    return (
        (rule.remove is Extent.STUDY or bool(facts.modalities))
        and (rule.older_than is None or now - facts.last_arrival_at > rule.older_than)
        and may_apply(rule, room)
        and (not rule.modalities or not rule.modalities.isdisjoint(facts.modalities))
        and (rule.answer is Answer.ANY or has_results is (rule.answer is Answer.DELIVERED))
    )


def _unproven(rule: RetentionRule, facts: StudyFacts) -> str:
    """Return what is missing of the proof that the reports in force have arrived; empty when nothing is."""
    if not facts.versions_in_force:
        return ""
    missing = sorted(rule.delivered_to - facts.proven_at)
    if missing:
        return f"its report is not proven to be at {', '.join(missing)}"
    if facts.proven_at.isdisjoint(rule.archives):
        return "its report is not proven to be at any destination that keeps objects"
    return ""


def _keeps_whole(facts: StudyFacts) -> str:
    """Return why a study may lose its images and not more; empty when it may go as a whole."""
    if facts.corrected:
        return "its attributes were corrected here, which must stay known"
    if facts.unproven:
        return "results of it are withheld, or not proven at every destination"
    if facts.kept_only_here:
        return "result objects of it are nowhere else"
    return ""


def _why(rule: RetentionRule, facts: StudyFacts, *, now: datetime, room: Room) -> str:
    said = [f"rule {rule.name}: last arrival {(now - facts.last_arrival_at).days} days ago"]
    if rule.more_studies_than is not None:
        said.append(f"{room.studies} studies with images are here")
    if rule.free_below is not None:
        said.append(f"{room.free_bytes} bytes are free")
    if facts.versions_in_force:
        said.append(f"its report is proven to be at {', '.join(sorted(facts.proven_at))}")
    else:
        said.append("no result of it is in force")
    return "; ".join(said)
