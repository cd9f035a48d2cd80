"""Findings as rows: outcome, series choices, slice scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select

from node.domain.model import ModelIdentity, ModelStatus, Precision
from node.domain.preparation_spec import InputModality
from node.domain.result import Finding, OperatingPoint, Outcome, RunOutcome, SeriesChoice, SliceScore
from node.domain.study import SeriesState, Verdict
from node.store.schema import findings, series_choices, slice_scores


def write_finding(
    connection: Connection, screening_id: int, finding: Finding, *, recipe: str, seconds: Mapping[str, float]
) -> None:
    """Write a finding with its choices and scores, inside the caller's transaction."""
    connection.execute(
        insert(findings).values(
            screening_id=screening_id,
            outcome=finding.outcome,
            run_outcome=finding.run_outcome,
            reason=finding.reason,
            warnings=list(finding.warnings),
            series_instance_uid=finding.series_instance_uid,
            selection_rule=finding.selection_rule,
            selection_threshold=finding.selection_threshold,
            operating_point=_encode_point(finding.operating_point),
            model=asdict(finding.model),
            recipe=recipe,
            seconds={stage: float(value) for stage, value in seconds.items()},
            modality=finding.modality,
        )
    )
    if finding.choices:
        connection.execute(
            insert(series_choices),
            [
                {"screening_id": screening_id, "ordinal": number, **asdict(choice)}
                for number, choice in enumerate(finding.choices)
            ],
        )
    if finding.slices:
        connection.execute(
            insert(slice_scores),
            [_encode_slice(screening_id, number, item) for number, item in enumerate(finding.slices)],
        )


def read_finding(connection: Connection, screening_id: int) -> Finding | None:
    """Return the finding of a screening; None when it has none."""
    query = select(findings).where(findings.c.screening_id == screening_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    chosen = select(series_choices).where(series_choices.c.screening_id == screening_id)
    scored = select(slice_scores).where(slice_scores.c.screening_id == screening_id)
    return Finding(
        outcome=Outcome(row["outcome"]),
        run_outcome=RunOutcome(row["run_outcome"]),
        reason=row["reason"],
        warnings=tuple(row["warnings"]),
        choices=tuple(
            _choice(item) for item in connection.execute(chosen.order_by(series_choices.c.ordinal)).mappings()
        ),
        series_instance_uid=row["series_instance_uid"],
        selection_rule=row["selection_rule"],
        selection_threshold=row["selection_threshold"],
        slices=tuple(
            _slice(item) for item in connection.execute(scored.order_by(slice_scores.c.ordinal)).mappings()
        ),
        operating_point=_decode_point(row["operating_point"]),
        model=decode_model(row["model"]),
        modality=InputModality(row["modality"]),
    )


def _encode_point(point: OperatingPoint | None) -> dict[str, Any] | None:
    return None if point is None else {**asdict(point), "share": str(point.share)}


def _decode_point(document: dict[str, Any] | None) -> OperatingPoint | None:
    if document is None:
        return None
    return OperatingPoint(**{**document, "share": Fraction(document["share"])})


def decode_model(document: dict[str, Any]) -> ModelIdentity:
    """Return which model answered, of the column ``findings.model``."""
    return ModelIdentity(
        **{
            **document,
            "status": ModelStatus(document["status"]),
            "precision": Precision(document["precision"]),
        }
    )


def _encode_slice(screening_id: int, number: int, item: SliceScore) -> dict[str, Any]:
    # Scores come from arrays; the driver binds only Python's own numbers.
    return {
        "screening_id": screening_id,
        "ordinal": number,
        "sop_class_uid": item.sop_class_uid,
        "sop_instance_uid": item.sop_instance_uid,
        "frame": int(item.frame),
        "instance_number": item.instance_number,
        "position": float(item.position),
        "dark_count": int(item.dark_count),
        "selected": bool(item.selected),
        "probability": None if item.probability is None else float(item.probability),
        "positive": bool(item.positive),
    }


def _slice(row: RowMapping) -> SliceScore:
    return SliceScore(
        sop_class_uid=row["sop_class_uid"],
        sop_instance_uid=row["sop_instance_uid"],
        frame=row["frame"],
        instance_number=row["instance_number"],
        position=row["position"],
        dark_count=row["dark_count"],
        selected=row["selected"],
        probability=row["probability"],
        positive=row["positive"],
    )


def _choice(row: RowMapping) -> SeriesChoice:
    return SeriesChoice(
        series_instance_uid=row["series_instance_uid"],
        series_number=row["series_number"],
        series_description=row["series_description"],
        modality=row["modality"],
        instance_count=row["instance_count"],
        state=SeriesState(row["state"]),
        verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
        verdict_reason=row["verdict_reason"],
        chosen=row["chosen"],
        eligible=row["eligible"],
        reason=row["reason"],
    )
