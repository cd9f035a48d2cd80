"""Domain records as JSON objects: one form for every command that prints them. No names of patients."""

from __future__ import annotations

from typing import Any

from node.dimse.admission import BY_TLS
from node.domain.delivery import Delivery
from node.domain.job import Screening
from node.domain.model import ModelIdentity
from node.domain.network import RefusedCaller
from node.domain.result import Finding, OperatingPoint, SeriesChoice, SliceScore
from node.domain.retention import Removal
from node.domain.study import Series, Study

MEBIBYTE = 1024 * 1024


def study_record(study: Study) -> dict[str, Any]:
    """Return what identifies a study and where it stands."""
    return {
        "study_instance_uid": study.study_instance_uid,
        "accession_number": study.accession_number,
        "study_date": study.study_date,
        "description": study.study_description,
        "state": study.state.value,
        "hold_reason": study.hold_reason,
        "first_arrival_at": study.first_arrival_at.isoformat(),
        "last_arrival_at": study.last_arrival_at.isoformat(),
    }


def series_record(series: Series) -> dict[str, Any]:
    """Return a series with its verdict."""
    return {
        "series_instance_uid": series.series_instance_uid,
        "series_number": series.series_number,
        "description": series.series_description,
        "modality": series.modality,
        "instances": series.instance_count,
        "state": series.state.value,
        "verdict": series.verdict.value if series.verdict is not None else None,
        "verdict_reason": series.verdict_reason,
    }


def screening_record(screening: Screening) -> dict[str, Any]:
    """Return one job."""
    return {
        "id": screening.id,
        "model": screening.model_name,
        "purpose": screening.purpose.value,
        "state": screening.state.value,
        "cause": screening.cause.value,
        "reason": screening.reason,
        "attempts": screening.attempts,
        "queued_at": screening.queued_at.isoformat(),
    }


def delivery_record(delivery: Delivery) -> dict[str, Any]:
    """Return one row of the outbox."""
    return {
        "id": delivery.id,
        "destination": delivery.destination,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "due_at": delivery.due_at.isoformat() if delivery.due_at is not None else None,
        "accepted_at": delivery.accepted_at.isoformat() if delivery.accepted_at is not None else None,
        "answer": delivery.answer,
        "proof": delivery.proof,
        "detail": delivery.detail,
        "kind": delivery.kind.value,
        "sop_class_uid": delivery.sop_class_uid,
        "sop_instance_uid": delivery.sop_instance_uid,
    }


def refused_caller_record(caller: RefusedCaller) -> dict[str, Any]:
    """Return a caller that was not let in, with the settings that would admit it."""
    return {
        "calling_ae_title": caller.calling_ae_title,
        "address": caller.address,
        "reason": caller.reason,
        "attempts": caller.attempts,
        "last_at": caller.last_at.isoformat(),
        "settings": "" if caller.reason in BY_TLS else admitting_settings(caller),
    }


def admitting_settings(caller: RefusedCaller) -> str:
    """Return the lines of TOML that would admit a caller.

    The calling AE title is remote text: it becomes a TOML basic string with everything but plain printable
    ASCII escaped, so pasting it can set nothing else.
    """
    title = "".join(_toml_character(character) for character in caller.calling_ae_title)
    address = "".join(_toml_character(character) for character in caller.address)
    return f'[[peers]]\nae_title = "{title}"\naddresses = ["{address}"]\nrights = ["echo", "store"]'


def _toml_character(character: str) -> str:
    if "\ud800" <= character <= "\udfff":  # a lone surrogate, which TOML cannot name
        return "?"
    if character in '"\\' or not " " <= character <= "~":
        return f"\\U{ord(character):08X}"
    return character


def model_record(model: ModelIdentity) -> dict[str, Any]:
    """Return which model answered, with its digests."""
    return {
        "name": model.name,
        "version": model.version,
        "status": model.status.value,
        "spec_sha256": model.spec_sha256,
        "weights_sha256": model.weights_sha256,
        "engine": model.engine,
        "engine_version": model.engine_version,
        "precision": model.precision.value,
        "device": model.device,
    }


def operating_point_record(point: OperatingPoint) -> dict[str, Any]:
    """Return how slice scores become an answer."""
    return {
        "name": point.name,
        "slice_threshold": point.slice_threshold,
        "share": str(point.share),
        "chosen_on": point.chosen_on,
        "validated": point.validated,
    }


def choice_record(choice: SeriesChoice) -> dict[str, Any]:
    """Return what was thought of one series."""
    return {
        "series_instance_uid": choice.series_instance_uid,
        "series_number": choice.series_number,
        "description": choice.series_description,
        "modality": choice.modality,
        "instances": choice.instance_count,
        "state": choice.state.value,
        "verdict": choice.verdict.value if choice.verdict is not None else None,
        "verdict_reason": choice.verdict_reason,
        "chosen": choice.chosen,
        "eligible": choice.eligible,
        "reason": choice.reason,
    }


def slice_record(score: SliceScore) -> dict[str, Any]:
    """Return one slice of the screened series."""
    return {
        "sop_instance_uid": score.sop_instance_uid,
        "frame": score.frame,
        "instance_number": score.instance_number,
        "position_mm": score.position,
        "dark_count": score.dark_count,
        "selected": score.selected,
        "probability": score.probability,
        "positive": score.positive,
    }


def finding_record(finding: Finding) -> dict[str, Any]:
    """Return the outcome of a screening with all its evidence."""
    point = finding.operating_point
    return {
        "modality": finding.modality.value,
        "outcome": finding.outcome.value,
        "run_outcome": finding.run_outcome.value,
        "reason": finding.reason,
        "warnings": list(finding.warnings),
        "screened_series_instance_uid": finding.series_instance_uid,
        "slices_received": finding.received,
        "slices_selected": finding.selected,
        "slices_positive": finding.positive,
        "ratio": finding.ratio,
        "mean_probability": finding.mean_probability,
        "selection_rule": finding.selection_rule,
        "selection_threshold": finding.selection_threshold,
        "operating_point": operating_point_record(point) if point is not None else None,
        "model": model_record(finding.model),
        "series": [choice_record(choice) for choice in finding.choices],
        "slices": [slice_record(score) for score in finding.slices],
    }


def removal_record(removal: Removal) -> dict[str, Any]:
    """Return what was removed."""
    return {
        "study_instance_uid": removal.study_instance_uid,
        "extent": removal.extent.value,
        "rule": removal.rule,
        "by": removal.by,
        "at": removal.at.isoformat(timespec="seconds"),
        "instances": removal.weight.instances,
        "size": removal.weight.size,
        "mib": mebibytes(removal.weight.size),
    }


def mebibytes(size: int) -> float:
    """Return a number of bytes in MiB, for people."""
    return round(size / MEBIBYTE, 1)
