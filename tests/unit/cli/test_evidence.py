"""What the demo leaves as text."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from node.cli.demo.evidence import report_file
from node.cli.demo.plan import DemoPlan
from node.cli.demo.summary import DemoOutcome
from node.cli.demo.watch import StudyView
from node.domain.identity import PatientKey
from node.domain.model import ModelIdentity, ModelStatus, Precision
from node.domain.study import Study, StudyState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = DemoPlan(
    source=Path("images"),
    out=Path("out"),
    bundle=None,
    precision=Precision.F32,
    quiet_seconds=1.0,
    minimum_slices=None,
    timeout_seconds=1.0,
)
MODEL = ModelIdentity(
    name="tiny",
    version=1,
    status=ModelStatus.VALIDATED,
    spec_sha256="0" * 64,
    weights_sha256="1" * 64,
    engine="openvino",
    engine_version="0",
    precision=Precision.F32,
    device="CPU",
)


def held(reason: str) -> DemoOutcome:
    study = Study(
        id=1,
        study_instance_uid="2.25.1",
        state=StudyState.HELD,
        hold_reason=reason,
        patient=PatientKey(patient_id="P", issuer=""),
        patient_name="",
        patient_birth_date="",
        patient_sex="",
        accession_number="",
        study_date="",
        study_description="",
        first_arrival_at=NOW,
        last_arrival_at=NOW,
    )
    return DemoOutcome(
        views=(StudyView(study=study, screening=None, finding=None, deliveries=()),),
        fates=(),
        indexed=frozenset(),
        received={},
        seconds={},
        reasons={},
        settled=True,
        model=MODEL,
    )


def test_a_study_without_a_report_is_told_with_its_reason_and_no_control_character() -> None:
    text = report_file(PLAN, held("two patients\x1b[2J"))
    assert "Study 2.25.1: held\n\ntwo patients" in text
    assert all(line.isprintable() for line in text.splitlines())
