"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from sqlalchemy import Connection, create_engine

from node.domain.identity import PatientKey
from node.domain.study import FrameGeometry, InstanceHeader
from node.store import database, migrate

# Several processes of tests share the cores: a second thread of torch only spins for one that others use.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A machine under load is slow, not wrong: no example has a deadline.
settings.register_profile("groundglass", deadline=None)
settings.load_profile("groundglass")


def pytest_collection() -> None:
    """Do not look for garbage in what is being imported: it stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage in what the tests make alone."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take minutes, so that no core waits for another one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("heavy") is None)


class FrozenClock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
        self._seconds = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._seconds += seconds

    def set_by(self, seconds: float) -> None:
        """Set the time of day, as an operator or NTP does; what measures durations goes on."""
        self._now += timedelta(seconds=seconds)


class CountingUids:
    """UIDs and tokens that count up; safe to share between threads."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def uid(self) -> str:
        return f"2.25.{10**30 + next(self._numbers)}"

    def token(self) -> str:
        return f"{next(self._numbers):032x}"


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Take back what a command that ran within this process did to the log: its stream is closed by now."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.setLevel(level)
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)


@pytest.fixture(scope="session", autouse=True)
def _index_migrated_once() -> Iterator[None]:
    """Make every new index of this process by the statements that the migrations leave, not by migrating.

    Processes of their own and indexes that exist migrate as ever.
    """
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        migrate.upgrade(connection)
        made = list(connection.connection.driver_connection.iterdump())
    engine.dispose()

    def upgrade(connection: Connection) -> None:
        if connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar_one():
            migrate.upgrade(connection)
            return
        for statement in made[1:-1]:  # between BEGIN and COMMIT, which are the caller's
            connection.exec_driver_sql(statement)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "upgrade", upgrade)
        yield


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def uids() -> CountingUids:
    return CountingUids()


def ct_header(number: int = 1, **changes: Any) -> InstanceHeader:
    """Return the header of one axial CT slice, 1 mm above the slice before it."""
    fields: dict[str, Any] = {
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",  # CT Image Storage
        "sop_instance_uid": f"1.2.826.0.1.1.{number}",
        "study_instance_uid": "1.2.826.0.1.10",
        "series_instance_uid": "1.2.826.0.1.10.1",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "patient": PatientKey(patient_id="P-1", issuer="HOSPITAL"),
        "patient_name": "Doe^Jane",
        "patient_birth_date": "19700101",
        "patient_sex": "F",
        "patient_age_years": 56.0,
        "study_date": "20260105",
        "study_time": "073000",
        "study_id": "S1",
        "accession_number": "A1",
        "study_description": "CT chest",
        "modality": "CT",
        "body_part_examined": "CHEST",
        "series_number": 2,
        "series_description": "thin",
        "convolution_kernel": "STANDARD",
        "frame_of_reference_uid": "1.2.826.0.1.99",
        "image_type": ("ORIGINAL", "PRIMARY", "AXIAL"),
        "instance_number": number,
        "acquisition_number": 1,
        "rows": 512,
        "columns": 512,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "bits_allocated": 16,
        "photometric_interpretation": "MONOCHROME2",
        "rescale_known": True,
        "gantry_tilt": 0.0,
        "station_name": "CT1",
        "manufacturer": "Nobody",
        "device_uids": (),
        "frames": (
            FrameGeometry(
                image_position=(-180.0, -180.0, float(number)),
                image_orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
                pixel_spacing=(0.7, 0.7),
                slice_thickness=1.0,
            ),
        ),
    }
    return InstanceHeader(**{**fields, **changes})


@pytest.fixture
def make_header() -> Callable[..., InstanceHeader]:
    return ct_header
