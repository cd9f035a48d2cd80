from __future__ import annotations

import sqlite3

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from node.decide.matching import criterion_of
from node.domain.delivery import DeliveryState
from node.domain.job import Purpose, ScreeningState
from node.domain.preparation_spec import InputModality
from node.domain.query import Level
from node.store import schema_delivery, schema_models
from node.store.database import Database
from node.store.header_codec import encode_header
from node.store.migrate import alembic_config, newest_revision
from node.store.store import open_store
from tests.conftest import ct_header


def definitions(path) -> dict[str, list[str]]:
    """Every table and index with its clauses; the order of constraints means nothing."""
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {name: sorted(clauses(sql)) for name, sql in found if not name.startswith("alembic")}


def clauses(sql: str) -> list[str]:
    """The parts of a statement between its outermost commas, and what stands about them."""
    parts, depth = [""], 0
    for character in " ".join(sql.split()):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 1:
            parts.append("")
        else:
            parts[-1] += character
    head, _, first = parts[0].partition("(")
    last, _, tail = parts[-1].rpartition(")")
    parts = [first, *parts[1:-1], last] if len(parts) > 1 else [parts[0]]
    return [head.strip(), tail.strip(), *(part.strip() for part in parts)]


def test_the_migrations_make_the_schema(tmp_path, clock):
    database = Database.open(f"sqlite:///{tmp_path / 'migrated.sqlite'}", clock=clock)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema_models.metadata) == []
    database.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'made.sqlite'}")
    schema_delivery.metadata.create_all(engine)
    engine.dispose()
    made, migrated = definitions(tmp_path / "made.sqlite"), definitions(tmp_path / "migrated.sqlite")
    assert migrated == made
    assert len(made) > 20


def test_the_newest_revision_is_the_one_that_alembic_leads_to(tmp_path, clock):
    database = Database.open(f"sqlite:///{tmp_path / 'index.sqlite'}", clock=clock)
    with database.read() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
    database.close()
    assert scripts.get_heads() == [newest_revision()]


def test_opening_again_changes_nothing(tmp_path, clock):
    path = tmp_path / "index.sqlite"
    for _ in range(2):
        Database.open(f"sqlite:///{path}", clock=clock).close()
        before = definitions(path)
    assert definitions(path) == before


def test_an_index_of_the_former_revision_keeps_its_rows(tmp_path, clock):
    path = tmp_path / "index.sqlite"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0003")
        for statement in FORMER_ROWS.split(";"):
            connection.exec_driver_sql(statement)
    engine.dispose()
    store = open_store(tmp_path, clock=clock, uids=None)
    screening, finding = store.screenings.latest(1)
    assert (screening.model_name, screening.model_version, screening.purpose) == ("covid", 0, Purpose.REPORT)
    assert (finding.modality, finding.model.version) == (InputModality.CT, 1)
    assert store.screenings.counts() == {ScreeningState.DONE: 1}
    assert store.promotions.active("covid") is None
    store.close()


def test_results_and_deliveries_survive_the_new_checks(tmp_path, clock):
    path = tmp_path / "index.sqlite"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0004")
        for statement in (FORMER_ROWS + RESULT_ROWS).split(";"):
            connection.exec_driver_sql(statement)
    engine.dispose()
    store = open_store(tmp_path, clock=clock, uids=None)
    (delivery,) = store.outbox.for_study(1)
    assert (delivery.destination, delivery.state, delivery.attempts) == ("pacs", DeliveryState.SENT, 2)
    assert store.screenings.current_version(1, "covid").report_sop_instance_uid == "1.2.3.9"
    store.close()


def test_what_queries_look_for_is_filled_in_from_the_headers(tmp_path, clock):
    path = tmp_path / "index.sqlite"
    engine = create_engine(f"sqlite:///{path}")
    header = encode_header(ct_header(1, study_time="101500", study_id="S7"))
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0005")
        for statement in FORMER_STUDIES.split(";"):
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("UPDATE instances SET header = ?", (header,))
    engine.dispose()
    store = open_store(tmp_path, clock=clock, uids=None)
    wanted = frozenset({"StudyInstanceUID", "StudyTime", "StudyID"})
    sought = {"PatientName": criterion_of("PN", "muller^zoe")}
    (page,) = store.matches.find(Level.STUDY, sought, wanted)
    (found,) = (candidate.values for candidate in page)
    assert found == {"StudyInstanceUID": "1.2.3", "StudyTime": "101500", "StudyID": "S7"}
    (page,) = store.matches.find(Level.STUDY, {"PatientName": criterion_of("PN", "O'NEIL*")}, wanted)
    assert [candidate.values["StudyTime"] for candidate in page] == [""]
    store.close()


FORMER_STUDIES = """
INSERT INTO patients (id, patient_id, issuer) VALUES (1, 'P', '');
INSERT INTO studies (id, patient_key, study_instance_uid, state, patient_name, patient_birth_date,
    patient_sex, accession_number, study_date, study_description, first_arrival_at, last_arrival_at)
VALUES (1, 1, '1.2.3', 'settled', 'Müller^Zoë', '', '', '', '', '', '2026-01-01', '2026-01-01'),
    (2, 1, '1.2.4', 'settled', 'O''Neil^Sean', '', '', '', '', '', '2026-01-01', '2026-01-01');
INSERT INTO series (id, study_id, series_instance_uid, modality, series_description, state, instance_count,
    first_arrival_at, last_arrival_at, calling_ae_title)
VALUES (1, 1, '1.2.3.1', 'CT', '', 'receiving', 1, '2026-01-01', '2026-01-01', 'CT1');
INSERT INTO instances (id, series_id, sop_instance_uid, sop_class_uid, object_key, sha256, size, received_at,
    calling_ae_title, header)
VALUES (1, 1, '1.2.3.1.1', '1.2', 'key', 'sha', 1, '2026-01-01', 'CT1', '')
"""
FORMER_ROWS = """
INSERT INTO patients (id, patient_id, issuer) VALUES (1, 'P', '');
INSERT INTO studies (id, patient_key, study_instance_uid, state, patient_name, patient_birth_date,
    patient_sex, accession_number, study_date, study_description, first_arrival_at, last_arrival_at)
VALUES (1, 1, '1.2.3', 'settled', '', '', '', '', '', '', '2026-01-01 00:00:00', '2026-01-01 00:00:00');
INSERT INTO screenings (id, study_id, model_name, state, cause, queued_at, due_at)
VALUES (1, 1, 'covid', 'done', 'settled', '2026-01-01 00:00:00', '2026-01-01 00:00:00');
INSERT INTO findings (screening_id, outcome, run_outcome, reason, warnings, selection_rule,
    selection_threshold, model, recipe, seconds)
VALUES (1, 'negative', 'succeeded', 'why', '[]', 'rule', '', '{"name": "covid", "version": 1,
    "status": "demonstration", "spec_sha256": "a", "weights_sha256": "b", "engine": "openvino",
    "engine_version": "1", "precision": "f32", "device": "CPU"}', 'recipe', '{}')
"""
RESULT_ROWS = """;
INSERT INTO result_versions (id, study_id, model_name, version, recipe, state, screening_id, made_at)
VALUES (1, 1, 'covid', 1, 'recipe', 'current', 1, '2026-01-01 00:00:00');
INSERT INTO result_objects (id, study_id, kind, object_index, sop_class_uid, sop_instance_uid,
    series_instance_uid, transfer_syntax_uid, object_key, sha256, size)
VALUES (7, 1, 'report', 0, '1.2', '1.2.3.9', '1.2.3.8', '1.2.840.10008.1.2.1', 'key', 'sha', 10);
INSERT INTO version_objects (version_id, object_id) VALUES (1, 7);
INSERT INTO deliveries (id, object_id, destination, state, attempts, changed_at)
VALUES (3, 7, 'pacs', 'delivered', 2, '2026-01-01 00:00:00')
"""
