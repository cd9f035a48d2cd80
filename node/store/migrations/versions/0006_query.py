"""What queries look for: more attributes of studies, filled in from the stored headers."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from node.decide.matching import sought_name

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS = ("study_time", "study_id_text", "referring_physician_name", "timezone_offset", "sought_name")
INDEXED = ("study_date", "accession_number", "sought_name")
FIRST_HEADERS = """
SELECT studies.id, studies.patient_name, instances.header FROM studies
LEFT JOIN instances ON instances.id = (
    SELECT min(instances.id) FROM instances JOIN series ON series.id = instances.series_id
    WHERE series.study_id = studies.id)
WHERE studies.id > :after ORDER BY studies.id LIMIT 1000
"""
FILL = """
UPDATE studies SET study_time = :study_time, study_id_text = :study_id_text, sought_name = :sought_name
WHERE id = :id
"""


def upgrade() -> None:
    """Apply."""
    for column in COLUMNS:
        op.add_column("studies", sa.Column(column, sa.String(), server_default="", nullable=False))
    _fill(op.get_bind())
    for column in INDEXED:
        op.create_index(f"ix_studies_{column}", "studies", [column], unique=False)
    op.create_index("ix_result_objects_series_instance_uid", "result_objects", ["series_instance_uid"])


def _fill(connection: sa.Connection) -> None:
    after = 0
    while found := connection.execute(sa.text(FIRST_HEADERS), {"after": after}).all():
        after = found[-1].id
        rows = [_filled(row.id, row.patient_name, row.header) for row in found]
        connection.execute(sa.text(FILL), rows)


def _filled(study: int, patient_name: str, header: str | None) -> dict[str, object]:
    document = json.loads(header) if header is not None else {}
    return {
        "id": study,
        "study_time": document.get("study_time", ""),
        "study_id_text": document.get("study_id", ""),
        "sought_name": sought_name(patient_name),
    }
