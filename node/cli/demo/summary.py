"""``summary.json``: everything that the demo found, in a documented form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from node.cli.demo.plan import DemoPlan
from node.cli.demo.watch import BAD, StudyView
from node.cli.records import (
    choice_record,
    delivery_record,
    finding_record,
    model_record,
    series_record,
    study_record,
)
from node.cli.sending import Fate, FileFate
from node.domain.model import ModelIdentity
from node.domain.result import Finding

PHANTOM_NOTE = "A synthetic thorax, nobody's image: scores on a phantom mean nothing."


@dataclass(frozen=True, kw_only=True)
class DemoOutcome:
    """What the demo saw."""

    views: tuple[StudyView, ...]
    fates: tuple[FileFate, ...]
    indexed: frozenset[str]
    """SOP Instance UIDs that the node holds."""
    received: Mapping[str, Path]
    """By SOP Instance UID: the file that arrived at the PACS."""
    seconds: Mapping[int, Mapping[str, float]]
    """By study: how long each stage took."""
    reasons: Mapping[int, str]
    """By study: why its screening did not end well."""
    settled: bool
    """Everything was settled before the time was over."""
    model: ModelIdentity

    @property
    def lost(self) -> tuple[str, ...]:
        """SOP Instance UIDs that were acknowledged and are not held: there must be none."""
        return tuple(
            fate.sop_instance_uid
            for fate in self.fates
            if fate.fate is Fate.SENT
            and fate.sop_instance_uid is not None
            and fate.sop_instance_uid not in self.indexed
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """SOP Instance UIDs of results that count as delivered and did not arrive: there must be none."""
        return tuple(
            delivery.sop_instance_uid
            for view in self.views
            for delivery in view.deliveries
            if delivery.state.value == "delivered" and delivery.sop_instance_uid not in self.received
        )

    @property
    def failures(self) -> tuple[str, ...]:
        """What went wrong, one sentence each; empty when all went well."""
        failed = Counter(fate.detail for fate in self.fates if fate.fate is Fate.FAILED)
        problems = [f"{count} files could not be sent: {detail}" for detail, count in failed.items()]
        problems += [f"instance {uid} was acknowledged and is lost" for uid in self.lost]
        problems += [f"result {uid} was delivered and did not arrive" for uid in self.missing]
        problems += [
            f"study {view.study.study_instance_uid}: {view.standing.value}: "
            f"{self.reasons.get(view.study.id, 'see its deliveries')}"
            for view in self.views
            if view.standing in BAD
        ]
        if not self.settled:
            problems.append("the time was over before every study was settled; give more with --timeout")
        if not any(fate.fate is Fate.SENT for fate in self.fates):
            problems.append("nothing was sent: no file with File Meta Information, or the node took none")
        return tuple(problems)


def summary_record(plan: DemoPlan, outcome: DemoOutcome) -> dict[str, Any]:
    """Return the content of summary.json, without its schema fields."""
    return {
        "finished": True,
        "software_version": version("groundglass"),
        "input": {
            "kind": "phantom" if plan.source is None else "folder",
            "path": None if plan.source is None else str(plan.source),
            "note": PHANTOM_NOTE if plan.source is None else "",
        },
        "model": model_record(outcome.model),
        "files": [file_record(fate) for fate in outcome.fates],
        "studies": [study_summary(view, outcome) for view in outcome.views],
        "lost": list(outcome.lost),
        "failures": list(outcome.failures),
    }


def file_record(fate: FileFate) -> dict[str, Any]:
    """Return one file of the input and what became of it."""
    return {
        "path": str(fate.path),
        "sop_instance_uid": fate.sop_instance_uid,
        "fate": fate.fate.value,
        "detail": fate.detail,
    }


def study_summary(view: StudyView, outcome: DemoOutcome) -> dict[str, Any]:
    """Return one study: every series with its verdict and choice, the evidence, the results."""
    finding = view.finding
    whole = finding_record(finding) if finding is not None else {}
    return study_record(view.study) | {
        "standing": view.standing.value,
        "outcome": whole.get("outcome"),
        "run_outcome": whole.get("run_outcome"),
        "reason": whole.get("reason", view.study.hold_reason or outcome.reasons.get(view.study.id, "")),
        "warnings": whole.get("warnings", []),
        "ratio": whole.get("ratio"),
        "mean_probability": whole.get("mean_probability"),
        "selection_rule": whole.get("selection_rule"),
        "selection_threshold": whole.get("selection_threshold"),
        "operating_point": whole.get("operating_point"),
        "model": whole.get("model"),
        "series": series_summaries(view, finding),
        "results": [
            delivery_record(delivery) | {"path": _path(outcome.received.get(delivery.sop_instance_uid))}
            for delivery in view.deliveries
        ],
        "seconds": {
            name: round(seconds, 3) for name, seconds in outcome.seconds.get(view.study.id, {}).items()
        },
    }


def series_summaries(view: StudyView, finding: Finding | None) -> list[dict[str, Any]]:
    """Return every series of a study; the screened one with its slices."""
    choices = {choice.series_instance_uid: choice for choice in finding.choices} if finding else {}
    summaries = []
    for series in view.study.series:
        choice = choices.get(series.series_instance_uid)
        thought = choice_record(choice) if choice is not None else {}
        screened = finding is not None and finding.series_instance_uid == series.series_instance_uid
        summaries.append(
            series_record(series)
            | {
                "chosen": thought.get("chosen", False),
                "eligible": thought.get("eligible", False),
                "choice_reason": thought.get("reason", ""),
                **_slices(finding if screened else None),
            }
        )
    return summaries


def _slices(finding: Finding | None) -> dict[str, Any]:
    if finding is None:
        return {"slices_received": None, "slices_selected": [], "slices_positive": [], "slices": []}
    return {
        "slices_received": finding.received,
        "slices_selected": [item.sop_instance_uid for item in finding.slices if item.selected],
        "slices_positive": [item.sop_instance_uid for item in finding.slices if item.positive],
        "slices": finding_record(finding)["slices"],
    }


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)


def stage_lines(views: Sequence[StudyView], seconds: Mapping[int, Mapping[str, float]]) -> list[list[object]]:
    """Return one row a stage: its name, then its seconds for each study."""
    stages = list(dict.fromkeys(name for view in views for name in seconds.get(view.study.id, {})))
    return [
        [name, *(_seconds(seconds.get(view.study.id, {}).get(name)) for view in views)] for name in stages
    ]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
