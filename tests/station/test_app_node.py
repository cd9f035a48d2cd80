"""The composed node: real store, real engine, real associations on loopback."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import MRImageStorage

from node.app import Node, SystemClock, build
from node.cli.sending import Fate, FileFate, readable, send
from node.dicom.write import PhantomLabels, write_phantom
from node.dimse.entity import Timeouts
from node.dimse.scu import Remote
from node.domain.errors import BundleError, HandshakeFailed, SettingsError, StoreInUse
from node.domain.result import Outcome
from node.infer.bundle import Bundle
from node.operate.health import ask, port_is_free
from node.receive.sink import FolderSink
from tests.model_folder import TinyNet, phantom_slices, write_model_folder
from tests.station.app_ground import SLICES, Place, install, phantom, phantom_folder, wait_for

EAGER = """
[retention]
enabled = true
every_seconds = 0.2

[[retention.rules]]
name = "eager"
remove = "study"
older_than_days = 0.000001
results = "any"
"""


@pytest.fixture
def place(tmp_path: Path, tiny_bundle: Bundle) -> Place:
    return install(tmp_path, tiny_bundle)


@contextmanager
def running(place: Place) -> Iterator[Node]:
    node = build(place.settings)
    node.start()
    try:
        yield node
    finally:
        node.stop()


@contextmanager
def pacs(place: Place) -> Iterator[FolderSink]:
    sink = FolderSink("PACS", "127.0.0.1", place.pacs_port, place.folder / "pacs", clock=SystemClock())
    sink.start()
    try:
        yield sink
    finally:
        sink.stop()


def scan(place: Place, paths: list[Path], calling: str = "CT1") -> list[FileFate]:
    fates: list[FileFate] = []
    send(
        readable(paths, fates.append),
        remote=Remote(ae_title="GROUNDGLASS", host="127.0.0.1", port=place.port),
        calling_ae_title=calling,
        timeouts=Timeouts(),
        on_fate=fates.append,
    )
    return fates


def metrics(place: Place) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", place.health_port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def screened(node: Node) -> bool:
    studies = node.store.studies.list()
    latest = node.store.screenings.latest(studies[0].id) if studies else None
    return latest is not None and latest[1] is not None


def test_a_series_goes_in_and_its_report_comes_out(place: Place, tmp_path: Path) -> None:
    series = phantom_folder(tmp_path / "series")
    with pacs(place) as sink, running(place) as node:
        node.store.operations.go_live("pacs", by="tester", reason="test")
        assert {fate.fate for fate in scan(place, series)} == {Fate.SENT}
        wait_for(lambda: screened(node), "the screening")
        (study,) = node.store.studies.list()
        found = node.store.screenings.latest(study.id)
        assert found is not None
        finding = found[1]
        assert finding is not None
        assert finding.received == SLICES
        assert finding.outcome in (Outcome.POSITIVE, Outcome.NEGATIVE)
        objects = node.store.outbox.for_study(study.id)
        wait_for(lambda: len(sink.files()) == len(objects), "the delivery")
        wait_for(
            lambda: {item.state.value for item in node.store.outbox.for_study(study.id)} == {"delivered"},
            "the delivery to be noted",
        )


def test_health_and_metrics_of_a_running_node(place: Place, tmp_path: Path) -> None:
    series = phantom_folder(tmp_path / "series")[:3]
    with running(place):
        answer = ask("127.0.0.1", place.health_port)
        assert answer is not None
        assert (answer["ready"], answer["problems"]) == (True, [])
        scan(place, series)
        scan(place, series[:1])
        scan(place, series[:1], calling="STRANGER")
        refused = "groundglass_associations_refused_total 1.0"
        wait_for(lambda: refused in metrics(place), "the refused caller to be counted")
        text = metrics(place)
    assert 'groundglass_instances_received_total{intake="new"} 3.0' in text
    assert 'groundglass_instances_received_total{intake="repeated"} 1.0' in text


def test_what_was_acknowledged_is_screened_after_a_restart(place: Place, tmp_path: Path) -> None:
    series = phantom_folder(tmp_path / "series")
    with running(place):
        scan(place, series)
    with running(place) as node:
        wait_for(lambda: screened(node), "the screening after the restart")


def test_a_silent_node_sends_nothing_and_removes_nothing_that_it_answered(
    place: Place, tmp_path: Path
) -> None:
    """Not even by rules that would remove everything at once: they remove what it has no answer to."""
    series = phantom_folder(tmp_path / "series")
    other = write_phantom(tmp_path / "other", phantom(), PhantomLabels(identity="of another kind"))[0]
    data_set = pydicom.dcmread(other)
    data_set.SOPClassUID = data_set.file_meta.MediaStorageSOPClassUID = MRImageStorage
    data_set.Modality = "MR"
    data_set.save_as(other)
    place.config.write_text(place.config.read_text() + EAGER)
    with pacs(place) as sink, running(place) as node:
        scan(place, series)
        wait_for(lambda: screened(node), "the screening")
        scan(place, [other])
        wait_for(node.store.retention.removals, "the study without an answer to be removed")
        (removed,) = node.store.retention.removals()
        (study,) = node.store.studies.list()
        states = {item.state.value for item in node.store.outbox.for_study(study.id)}
    assert (removed.study_instance_uid, removed.weight.instances) == (data_set.StudyInstanceUID, 1)
    assert sum(item.instance_count for item in study.series) == len(series)
    assert states == {"withheld"}
    assert sink.files() == []


def test_two_nodes_do_not_share_a_store(place: Place) -> None:
    with running(place), pytest.raises(StoreInUse):
        build(place.settings).start()


def test_a_start_that_fails_leaves_nothing_running(place: Place) -> None:
    with socket.create_server(("127.0.0.1", place.port)):
        with pytest.raises(SettingsError, match=r"node\.port"):
            build(place.settings).start()
        assert port_is_free("127.0.0.1", place.health_port)
    with running(place) as node:
        assert node.health().ready


def test_a_port_of_the_health_endpoint_that_is_taken_stops_the_listener_too(place: Place) -> None:
    with (
        socket.create_server(("127.0.0.1", place.health_port)),
        pytest.raises(SettingsError, match=r"health\.port"),
    ):
        build(place.settings).start()
    assert port_is_free("127.0.0.1", place.port)


def test_a_model_folder_that_is_not_there_is_named(place: Place) -> None:
    text = place.config.read_text().replace('model = "tiny"', 'model = "absent"')
    place.config.write_text(text)
    with pytest.raises(BundleError, match=r"absent; .*triton_models"):
        build(place.settings).start()


def test_other_weights_under_a_known_version_are_refused(
    place: Place, tmp_path: Path, tiny_bundle: Bundle
) -> None:
    with running(place):
        pass
    write_model_folder(tmp_path / "swapped", phantom_slices(), net=TinyNet(gain=3.0))
    text = place.config.read_text().replace(str(tiny_bundle.folder.parent), str(tmp_path / "swapped"))
    place.config.write_text(text)
    with pytest.raises(HandshakeFailed):
        build(place.settings).start()


def test_stop_twice_and_stop_before_start_do_nothing(place: Place) -> None:
    node = build(place.settings)
    node.stop()
    node.start()
    node.stop()
    node.stop()
    assert port_is_free("127.0.0.1", place.port)
