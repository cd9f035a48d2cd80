"""Which bytes answered, by which engine, on what: kept with the finding, and said in the report."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pydicom
from pydicom.dataset import Dataset

from node.domain.job import Screening
from node.domain.model import ModelIdentity
from node.domain.result import ResultKind
from node.infer.bundle import Bundle
from node.report.identity import device_uid_of
from node.store.store import Store
from tests.screening_ground import Ends, Ground, phantom_series

ALGORITHM_NAME, ALGORITHM_PARAMETERS, ALGORITHM_VERSION = "111001", "111002", "111003"
PROCESSING_EQUIPMENT = "109102"


def texts(item: Dataset, code: str) -> Iterator[str]:
    """Every text content item with this concept name (PS3.3 C.17.3)."""
    for child in item.get("ContentSequence", []):
        if child.ConceptNameCodeSequence[0].get("CodeValue") == code:
            yield child.TextValue
        yield from texts(child, code)


def reported(store: Store, screening: Screening) -> Dataset:
    (report,) = [item for item in store.screenings.results(screening.id) if item.kind is ResultKind.REPORT]
    return pydicom.dcmread(store.files.path(report.object_key))


def assert_names(report: Dataset, model: ModelIdentity) -> None:
    """Every group of the report says who answered."""
    assert set(texts(report, ALGORITHM_NAME)) == {model.name}
    (version,) = set(texts(report, ALGORITHM_VERSION))
    assert version.startswith(f"{model.version}+")
    (parameters,) = set(texts(report, ALGORITHM_PARAMETERS))
    for part in (
        model.weights_sha256,
        model.spec_sha256,
        f"{model.engine} {model.engine_version}",
        model.precision.value,
        model.device,
    ):
        assert part in parameters
    equipment = [
        item
        for item in report.ContributingEquipmentSequence
        if item.PurposeOfReferenceCodeSequence[0].CodeValue == PROCESSING_EQUIPMENT
    ]
    device = device_uid_of(model.name, model.version, model.weights_sha256)
    assert [item.DeviceUID for item in equipment] == [device]


def test_database_and_report_say_who_answered(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> None:
    ground.receive(phantom_series(patches=6))
    ground.settle()
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends).run(screening)

    with ground.store.database.read() as connection:
        query = "SELECT model FROM findings WHERE screening_id = ?"
        (row,) = connection.exec_driver_sql(query, (screening.id,))
    (scorer,) = ground.scorers
    assert json.loads(row[0]) == {
        "name": "tiny",
        "version": 1,
        "status": "validated",
        "spec_sha256": tiny_bundle.spec_sha256,
        "weights_sha256": tiny_bundle.weights_sha256,
        "engine": "openvino",
        "engine_version": scorer.identity.engine_version,
        "precision": "f32",
        "device": "CPU",
    }
    assert scorer.identity.engine_version
    assert_names(reported(ground.store, screening), ground.store.screenings.finding(screening.id).model)
