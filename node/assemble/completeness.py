"""The verdict on one series: evidence, quiet times, holds and the cap, as one pure function.

Systems that wait a few seconds and then take what is there report on half a chest; systems that wait for an
announcement that never comes report nothing. Here every verdict names its evidence, and the cap is a verdict
too: incomplete. What the modality (MPPS) or the archive say of the whole series comes before what the slices
show; what anybody says of more instances than are here holds the verdict back. A request for storage
commitment names no series: what it lists is hoped for until the cap, and then whole lungs count for more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from node.domain.expectation import Expectation, Source
from node.domain.network import QuietTimes
from node.domain.study import AssociationEnd, AssociationFacts, Series, SeriesEvent, Verdict

BROKEN_ENDS = frozenset({AssociationEnd.ABORTED, AssociationEnd.TIMEOUT})


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Whether the slices alone show that the series is whole."""

    holds: bool
    reason: str
    """A part of a sentence, with numbers."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """All that a verdict depends on, but the evidence of the slices."""

    series: Series
    associations: AssociationFacts
    sender_gap: timedelta | None
    """The sender's 99th percentile gap between two arrivals; None while it is not known."""
    now: datetime
    expectations: tuple[Expectation, ...] = ()
    """What others say of how many instances the series has."""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """No verdict yet."""

    reason: str
    due_at: datetime | None
    """When it is worth judging again without a new arrival; None while an association is open."""


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """A verdict."""

    event: SeriesEvent
    verdict: Verdict
    reason: str
    """One sentence with the evidence and its numbers."""
    whole_lungs: bool = False
    """Whether the slices were seen to hold the whole lungs, whatever the verdict rests on."""


def raised(base: timedelta, gap: timedelta | None, quiet: QuietTimes) -> timedelta:
    """Return a quiet time, raised to what the sender's own rhythm asks for.

    Parameters
    ----------
    base : timedelta
        From the settings.
    gap : timedelta or None
        The sender's 99th percentile gap; None leaves ``base`` as it is.
    quiet : QuietTimes
    """
    if gap is None:
        return base
    return max(base, min(max(quiet.gap_multiple * gap, quiet.floor), quiet.ceiling))


HOPED = Evidence(holds=True, reason="the slices were not looked at yet")


def is_due(situation: Situation, quiet: QuietTimes, known: Evidence | None, *, told: bool) -> bool:
    """Whether a verdict may be near, by less than all that it depends on; where not, judging gives none.

    Whoever says that the series goes on makes a verdict later, and evidence of the slices makes it earlier.
    So it is enough to hope for the best of both, and only to ask on where that makes a verdict.

    Parameters
    ----------
    situation : Situation
        Some of its expectations may be left out.
    quiet : QuietTimes
    known : Evidence or None
        None where nobody has looked at the slices.
    told : bool
        Whether what is left out may say that the series is whole, or that nothing more comes.
    """
    if told:
        return not situation.associations.open_count
    return isinstance(judge(situation, quiet, lambda: known or HOPED), Conclusion)


def judge(situation: Situation, quiet: QuietTimes, evidence: Callable[[], Evidence]) -> Conclusion | Wait:
    """Judge whether a series is complete.

    Never while an association that carried it is open, and before the cap never while instances are missing
    that somebody knows of. At once where nothing is missing of what the modality lists as the whole series.
    Else never before ``not_before`` (a restart), and after an abort or a timeout only at the cap: what broke
    the sender off may have kept the archive from the rest, too. At once then where nothing is missing of what
    the archive counts. Once there is a verdict at some time, there is one at every later time, if nothing
    happens in between.

    Parameters
    ----------
    situation : Situation
    quiet : QuietTimes
    evidence : callable
        Asked at most once, and only when its answer can make a verdict: it decodes every slice.
    """
    series, ends, now = situation.series, situation.associations, situation.now
    if ends.open_count:
        return Wait(reason=_open_reason(ends.open_count), due_at=None)
    silent_since = max(series.last_arrival_at, ends.last_closed_at or series.last_arrival_at)
    cap_at = silent_since + quiet.cap
    known = _by_what_is_known(situation, quiet, evidence, max(cap_at, series.not_before or cap_at))
    if known is not None:
        return known
    held = _held(situation, cap_at)
    if held is not None:
        return held
    if ends.last_end in BROKEN_ENDS:
        return _capped(situation, quiet, _end_reason(ends))
    regular = ends.last_end is not AssociationEnd.RESTART
    plain = raised(quiet.plain, situation.sender_gap, quiet)
    short = raised(quiet.geometry, situation.sender_gap, quiet) if regular else plain
    silence = now - silent_since
    if silence < min(short, plain, quiet.cap):
        return Wait(
            reason=_silence_reason(silence, min(short, plain)), due_at=silent_since + min(short, plain)
        )
    return _with_evidence(situation, quiet, evidence(), _Times(silence, silent_since, short, plain, regular))


WHOLE: Final[Mapping[Source, tuple[Verdict, str]]] = MappingProxyType(
    {
        Source.PROCEDURE_STEP: (Verdict.PROCEDURE_STEP, "the completed procedure step lists"),
        Source.ARCHIVE: (Verdict.ARCHIVE, "the archive has"),
    }
)
"""What a final count of each source makes of a series of which nothing is missing."""
KNOWN_TO: Final[Mapping[Source, str]] = MappingProxyType(
    {
        Source.PROCEDURE_STEP: "the procedure step of the modality lists",
        Source.DISCONTINUED: "the discontinued procedure step of the modality lists",
        Source.AVAILABILITY: "an instance availability notification lists",
        Source.ARCHIVE: "the archive has",
        Source.COMMITMENT: "a request for storage commitment lists",
    }
)


def _by_what_is_known(
    situation: Situation, quiet: QuietTimes, evidence: Callable[[], Evidence], cap_at: datetime
) -> Conclusion | Wait | None:
    """Judge by what others say of the series; None where that decides nothing.

    A request for commitment names no series: what it lists beyond what is here may belong to another one, or
    was never meant for this node. So it does not speak against a source that knows the whole of this one, and
    at the cap not against slices that show it.
    """
    found = {item.source: item for item in situation.expectations}
    of_series = [item for item in found.values() if item.source is not Source.COMMITMENT]
    missing = next((item for item in of_series if item.missing), None)
    whole = {item.source: item for item in of_series if item.final and missing is None}
    if Source.PROCEDURE_STEP in whole:
        return _known_whole(whole[Source.PROCEDURE_STEP], evidence())
    if missing is None and Source.DISCONTINUED in found:
        return _discontinued(found[Source.DISCONTINUED], evidence())
    if Source.ARCHIVE in whole:
        return _held(situation, cap_at) or _known_whole(whole[Source.ARCHIVE], evidence())
    lacking = missing or found.get(Source.COMMITMENT)
    if lacking is None or not lacking.missing:
        return None
    return _lacking(situation, quiet, evidence, lacking, cap_at)


def _lacking(
    situation: Situation,
    quiet: QuietTimes,
    evidence: Callable[[], Evidence],
    lacking: Expectation,
    cap_at: datetime,
) -> Conclusion | Wait:
    """Wait for what somebody knows of until the cap; a request for commitment then yields to the slices."""
    reason = (
        f"{lacking.missing} of the {lacking.listed} instances that {KNOWN_TO[lacking.source]} are not here"
    )
    if situation.now < cap_at:
        return Wait(reason=reason, due_at=cap_at)
    if lacking.source is Source.COMMITMENT and situation.associations.last_end not in BROKEN_ENDS:
        seen = evidence()
        if seen.holds:
            return Conclusion(
                event=SeriesEvent.EVIDENCE,
                verdict=Verdict.GEOMETRY,
                whole_lungs=True,
                reason=f"Complete: {seen.reason}; nothing more for {_seconds(quiet.cap)}, though {reason}.",
            )
        reason = f"{reason}; {seen.reason}"
    return _capped(situation, quiet, reason)


def _known_whole(whole: Expectation, found: Evidence) -> Conclusion:
    verdict, who = WHOLE[whole.source]
    return Conclusion(
        event=SeriesEvent.EVIDENCE,
        verdict=verdict,
        reason=f"Complete: all {whole.listed} instances that {who} are here; {found.reason}.",
        whole_lungs=found.holds,
    )


def _discontinued(step: Expectation, found: Evidence) -> Conclusion:
    ended = f"the procedure step was discontinued, and all {step.listed} instances that it lists are here"
    if found.holds:
        return Conclusion(
            event=SeriesEvent.EVIDENCE,
            verdict=Verdict.GEOMETRY,
            reason=f"Complete: {found.reason}; {ended}.",
            whole_lungs=True,
        )
    return Conclusion(
        event=SeriesEvent.DISCONTINUED,
        verdict=Verdict.DISCONTINUED,
        reason=f"Incomplete: {ended}; {found.reason}.",
    )


@dataclass(frozen=True)
class _Times:
    silence: timedelta
    silent_since: datetime
    short: timedelta
    """Quiet time with geometric evidence."""
    plain: timedelta
    """Quiet time without."""
    regular: bool
    """No association was cut off by a restart."""


def _with_evidence(
    situation: Situation, quiet: QuietTimes, found: Evidence, times: _Times
) -> Conclusion | Wait:
    end = _end_reason(situation.associations)
    if found.holds and times.silence >= times.short:
        return Conclusion(
            event=SeriesEvent.EVIDENCE,
            verdict=Verdict.GEOMETRY,
            whole_lungs=True,
            reason=f"Complete: {found.reason}; {end}, then {_quiet_reason(times.short)}.",
        )
    if times.regular and times.silence >= times.plain:
        return Conclusion(
            event=SeriesEvent.EVIDENCE,
            verdict=Verdict.QUIET,
            reason=(
                f"Complete: {end}, then {_quiet_reason(times.plain)}; "
                f"{situation.series.instance_count} instances; no evidence of geometry: {found.reason}."
            ),
        )
    if times.silence >= quiet.cap:
        return _capped(situation, quiet, f"{end}; {found.reason}")
    waits = [quiet.cap]
    if times.regular:
        waits.append(times.plain)
    if found.holds:
        waits.append(times.short)
    return Wait(
        reason=f"{_silence_reason(times.silence, min(waits))}; {found.reason}",
        due_at=times.silent_since + min(waits),
    )


def _held(situation: Situation, cap_at: datetime) -> Wait | None:
    """Return the wait for a sender that may go on: after a restart of this node, and after an abort."""
    not_before, ends = situation.series.not_before, situation.associations
    if not_before is not None and situation.now < not_before:
        return Wait(reason="the node was restarted; the sender may go on", due_at=not_before)
    if ends.last_end in BROKEN_ENDS and situation.now < cap_at:
        return Wait(reason=f"{_end_reason(ends)}; the sender may go on", due_at=cap_at)
    return None


def _capped(situation: Situation, quiet: QuietTimes, why: str) -> Conclusion:
    return Conclusion(
        event=SeriesEvent.CAP,
        verdict=Verdict.CAP,
        reason=(
            f"Incomplete: {situation.series.instance_count} instances and nothing more for "
            f"{_seconds(quiet.cap)}; {why}."
        ),
    )


def _end_reason(ends: AssociationFacts) -> str:
    texts = {
        None: "received without an association",
        AssociationEnd.RELEASED: "association released normally",
        AssociationEnd.ABORTED: "the last association was aborted",
        AssociationEnd.TIMEOUT: "the last association timed out",
        AssociationEnd.RESTART: "the last association was cut off by a restart of the node",
    }
    return texts[ends.last_end]


def _open_reason(count: int) -> str:
    return f"{count} association{'s that carry' if count > 1 else ' that carries'} it still open"


def _quiet_reason(needed: timedelta) -> str:
    """Return why it was waited for long enough; the report says it, so it tells nothing of one moment."""
    return f"at least {_seconds(needed)} of quiet"


def _silence_reason(silence: timedelta, needed: timedelta) -> str:
    return f"{_seconds(silence)} of quiet ({_seconds(needed)} needed)"


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.4g} s"
