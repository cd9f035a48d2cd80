"""QIDO-RS, metadata, and who may ask for them."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import brotli
import httpx
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.domain.identity import derived_uid
from tests.station.receiving_node import wait_until, write_instance
from tests.station.search_ground import LARGE, ORIGIN, SEARCH_SECONDS, TOKEN, Searching, searching

STUDY = derived_uid("test", "study", "1")
SERIES = derived_uid("test", "series", "1")
OTHER = derived_uid("test", "study", "2")
SERIES_PATH = f"/studies/{STUDY}/series/{SERIES}"
SLICES = 7
SECONDS = 20.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    named = [(number, "1", "P1") for number in range(1, SLICES + 1)] + [(1, "2", "P2"), (1, "3", "P3")]
    return [
        write_instance(folder / f"{study}-{number}.dcm", number, study=study, patient_id=patient)[0]
        for number, study, patient in named
    ]


@pytest.fixture(scope="module")
def service(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searching]:
    with searching(tmp_path_factory.mktemp("web") / "data") as running:
        for path in files:
            running.add(path)
        yield running


def test_studies_are_found_by_keyword_tag_list_range_and_wild_card(service: Searching) -> None:
    assert len(service.found("/studies")) == 3
    for query in (
        "PatientID=P1",
        "00100020=P1",
        f"StudyInstanceUID={STUDY}",
        f"0020000D={STUDY},2.25.1",
        f"StudyInstanceUID={STUDY}%5C2.25.1",
        "PatientID=P1&StudyDate=20240101-20240131&ModalitiesInStudy=CT&PatientName=test*",
    ):
        assert service.values(f"/studies?{query}", "0020000D") == [STUDY], query
    for query in ("PatientID=P4", "StudyDate=-20231231", f"StudyInstanceUID={OTHER}&PatientID=P1"):
        assert service.get(f"/studies?{query}").status_code == 204, query
    [study] = service.found("/studies?PatientID=P1&includefield=StudyDescription,00100040")
    assert study["00201208"] == {"vr": "IS", "Value": [SLICES]}
    assert study["00080061"] == {"vr": "CS", "Value": ["CT"]}
    assert study["00100010"]["Value"] == [{"Alphabetic": "Test^Person"}]
    assert study["00081190"]["Value"] == [f"{service.base}/studies/{STUDY}"]
    assert (study["00080056"]["Value"], study["00080054"]["Value"]) == (["ONLINE"], ["GROUND"])
    assert study["00100040"] == {"vr": "CS"}


def test_series_and_instances_are_found_below_and_anywhere(service: Searching) -> None:
    [series] = service.found(f"/studies/{STUDY}/series")
    assert series["00081190"]["Value"] == [service.base + SERIES_PATH]
    assert series["00201209"]["Value"] == [SLICES]
    assert "00100020" not in series
    assert {item["00100020"]["Value"][0] for item in service.found("/series?Modality=CT")} == {
        "P1",
        "P2",
        "P3",
    }
    instances = service.found(f"{SERIES_PATH}/instances")
    assert [item["00200013"]["Value"][0] for item in instances] == list(range(1, SLICES + 1))
    assert instances[2]["00280010"] == {"vr": "US", "Value": [64]}
    uid = instances[2]["00080018"]["Value"][0]
    assert instances[2]["00081190"]["Value"] == [f"{service.base}{SERIES_PATH}/instances/{uid}"]
    assert service.values(f"/instances?SOPInstanceUID={uid}", "00100020") == ["P1"]
    assert service.values(f"/studies/{STUDY}/instances?InstanceNumber=3", "00080018") == [uid]
    everything = service.found(f"/studies/{STUDY}/instances?InstanceNumber=3&includefield=all")[0]
    assert everything["00080008"]["vr"] == "CS"
    assert everything["00100010"]["Value"] == [{"Alphabetic": "Test^Person"}]


def test_pages_are_those_of_the_whole(service: Searching) -> None:
    path = f"{SERIES_PATH}/instances"
    whole = service.values(path, "00200013")
    assert service.values(f"{path}?limit=3", "00200013") == whole[:3]
    assert service.values(f"{path}?limit=3&offset=5", "00200013") == whole[5:]
    assert service.found(f"{path}?offset={SLICES}") == []
    assert service.found(f"{path}?limit=0") == []


@pytest.mark.parametrize(
    ("query", "warning"),
    [
        ("fuzzymatching=true&PatientName=Test*", "fuzzymatching"),
        ("PixelSpacing=1", "ignored"),
        ("NumberOfStudyRelatedInstances=7", "ignored"),
        ("includefield=PixelSpacing", "includefield"),
    ],
)
def test_what_is_not_done_is_said(service: Searching, query: str, warning: str) -> None:
    answer = service.get(f"/studies?{query}")
    assert (answer.status_code, len(answer.json())) == (200, 3)
    assert answer.headers["warning"].startswith(f"299 {service.base}: ")
    assert warning in answer.headers["warning"]
    assert "warning" not in service.get("/studies").headers


@pytest.mark.parametrize(
    "path",
    [
        "/studies?StudyDate=yesterday",
        "/studies?limit=-1",
        "/studies?limit=1&limit=2",
        "/studies?offset=x",
        "/studies?patient=1",
        "/studies?0010=1",
        "/studies?%00=1",
        "/studies?PatientID=1&PatientID=2",
        "/series?RequestAttributesSequence.Nothing=1",
        "/studies?" + "&".join(f"PatientID={number}" for number in range(300)),
        "/studies/1.2..3/series",
        "/studies/abc/series",
        f"/studies/{STUDY}/series?StudyInstanceUID={OTHER}",
        f"/studies/{'1.' * 40}1/metadata",
        "/studies?accept=nothing",
    ],
)
def test_a_malformed_search_is_refused_and_not_repeated(service: Searching, path: str) -> None:
    answer = service.get(path)
    assert answer.status_code == 400, answer.text
    assert "yesterday" not in answer.text
    assert len(answer.text) < 200


@pytest.mark.parametrize("accept", ["multipart/related; type=application/dicom+xml", "image/jpeg", "a/b"])
def test_what_is_not_json_is_not_answered(service: Searching, accept: str) -> None:
    assert service.get("/studies", accept=accept).status_code == 406
    assert service.get(f"{SERIES_PATH}/metadata", accept=accept).status_code == 406
    latin = "application/dicom+json;charset=iso-8859-1"
    assert service.get("/studies", accept=latin).status_code == 406


def test_a_search_without_end_is_given_up(service: Searching) -> None:
    service.clock.leap = SEARCH_SECONDS * 1.1
    try:
        answer = service.get("/instances?ContentLabel=nothing")
        assert (answer.status_code, answer.text) == (503, "the search takes too long; narrow it\n")
    finally:
        service.clock.leap = 0.0
    assert service.get("/instances?ContentLabel=nothing").status_code == 204


def test_metadata_are_the_data_set_without_its_bulk(service: Searching, files: list[Path]) -> None:
    documents = service.found(f"{SERIES_PATH}/metadata")
    assert service.found(f"/studies/{STUDY}/metadata") == documents
    theirs = dcmread(files[0])
    [document] = [item for item in documents if item["00080018"]["Value"] == [theirs.SOPInstanceUID]]
    address = document["7FE00010"]["BulkDataURI"]
    instance = f"{SERIES_PATH}/instances/{theirs.SOPInstanceUID}"
    assert address == f"{service.base}{instance}/bulkdata/7FE00010"
    ours = Dataset.from_json(document, bulk_data_uri_handler=lambda *_: theirs.PixelData)
    ours.SpecificCharacterSet = theirs.SpecificCharacterSet
    assert ours == theirs
    assert service.found(f"{instance}/metadata") == [document]
    assert service.get(f"/studies/{STUDY}/series/2.25.9/metadata").status_code == 404


def test_metadata_that_a_client_has_are_not_sent_again(service: Searching, tmp_path: Path) -> None:
    path = f"/studies/{derived_uid('test', 'study', '4')}/metadata"
    service.add(write_instance(tmp_path / "4-1.dcm", 1, study="4")[0])
    known = service.get(path).headers["etag"]
    again = service.get(path, if_none_match=known)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", known)
    assert again.headers["vary"].startswith("Accept, Accept-Encoding")  # RFC 9110 section 15.4.5
    service.add(write_instance(tmp_path / "4-2.dcm", 2, study="4")[0])
    changed = service.get(path, if_none_match=known)
    assert (changed.status_code, len(changed.json())) == (200, 2)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("gzip, br", "br"), ("br;q=0.1, gzip", "gzip"), ("identity", ""), ("br;q=0", "")],
)
def test_json_is_compressed_where_the_client_takes_it(service: Searching, accepted: str, coding: str) -> None:
    url = f"{service.base}{SERIES_PATH}/metadata"
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": accepted}
    with service.client.stream("GET", url, headers=headers) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers.get("content-encoding", "") == coding
    unpack = {"gzip": gzip.decompress, "br": brotli.decompress, "": bytes}[coding]
    assert unpack(raw) == service.get(f"{SERIES_PATH}/metadata").content


def test_a_known_client_finds_and_reads(service: Searching) -> None:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {TOKEN}"
    client = DICOMwebClient(service.base, session=session)
    try:
        assert len(client.search_for_studies(search_filters={"PatientID": "P2"})) == 1
        assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []
        assert len(client.search_for_instances(STUDY, limit=2)) == 2
        assert len(client.retrieve_series_metadata(STUDY, SERIES)) == SLICES
    finally:
        session.close()


def test_who_is_not_let_in_learns_nothing(service: Searching) -> None:
    with httpx.Client(verify=False) as stranger:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            for path in (
                "/studies",
                f"/studies/{STUDY}/metadata",
                "/studies/abc/series",
                f"/studies/{OTHER}1/series",
            ):
                answer = stranger.get(service.base + path, headers=headers)
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
                assert "P1" not in answer.text
    assert service.get("/studies", authorization=f"bearer {TOKEN}").status_code == 200
    assert service.get("/studies", host="evil.example").status_code == 421
    assert service.get("/studies", host="a b").status_code == 400
    assert service.client.post(f"{service.base}/studies").status_code == 405
    assert service.get("/../../etc/passwd").status_code == 404


def test_pages_of_listed_origins_may_call(service: Searching) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    preflight = httpx.options(service.base + "/studies", headers=asked, verify=False)
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert service.get("/studies", origin=ORIGIN).headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-origin" not in service.get("/studies", origin="https://evil.example").headers


def test_the_service_says_what_it_can_do(service: Searching) -> None:
    told = service.client.options(service.base, headers={"Accept": "application/json"})
    assert {"path": "/studies/{study}/metadata", "methods": ["GET"]} in told.json()["resources"]
    wadl = service.client.options(f"{service.base}/studies/{STUDY}/series")
    assert wadl.headers["content-type"] == "application/vnd.sun.wadl+xml"
    assert f'<resources base="{service.base}">' in wadl.text
    assert wadl.headers["allow"] == "GET, HEAD, OPTIONS"
    assert told.headers["allow"] == "OPTIONS"
    for method in ("POST", "DELETE"):
        refused = service.client.request(method, f"{service.base}/studies/{STUDY}/series")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert httpx.delete(f"{service.base}/studies", verify=False).status_code == 401


def test_many_clients_at_once_get_right_answers(service: Searching) -> None:
    whole = service.get(f"{SERIES_PATH}/metadata").content

    def ask(_: int) -> bool:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(verify=False, headers=headers, timeout=SECONDS) as client:
            found = client.get(f"{service.base}{SERIES_PATH}/instances").json()
            return (
                len(found) == SLICES and client.get(f"{service.base}{SERIES_PATH}/metadata").content == whole
            )

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(ask, range(32)))


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"", b""),
        (b"GET /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", b""),
        (b"GET /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 200_000, b"HTTP/1.1 431"),
        (b"GET /dicom-web/" + b"a" * 200_000, b"HTTP/1.1 431"),
        (b"nothing of the kind\r\n\r\n", b"HTTP/1.1 400"),
    ],
)
def test_who_sends_too_much_or_too_slowly_is_let_go(service: Searching, sent: bytes, answered: bytes) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", service.port), timeout=SECONDS) as connection:
        received = b""
        try:
            connection.sendall(sent)
            received = connection.recv(64)
        except ConnectionError:
            pass
    assert received.startswith(answered) or received == b""
    assert time.monotonic() - began < SECONDS / 2


def test_a_client_that_reads_nothing_is_let_go(service: Searching) -> None:
    request = f"GET /dicom-web{LARGE} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=SECONDS) as connection:
        connection.sendall(request.encode())

        def is_gone() -> bool:
            try:
                connection.send(b"\r\n")
            except OSError:
                return True
            return False

        wait_until(is_gone, "the connection of a client that reads nothing ends")


@pytest.mark.parametrize("behind", [b"", b"\r\n", b"\n\r"])
def test_a_client_that_was_answered_and_asks_no_more_is_let_go(service: Searching, behind: bytes) -> None:
    """Line ends before a request are no request, and no reason to wait for one for ever."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", service.port), timeout=SECONDS) as connection:
        connection.sendall(b"GET /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 401")
        connection.sendall(behind)
        with suppress(ConnectionResetError):
            assert connection.recv(64) == b""
    assert time.monotonic() - began < SECONDS / 2


def test_metadata_are_made_in_the_background_and_go_with_the_object(
    service: Searching, tmp_path: Path
) -> None:
    while service.store.metadata.fill():
        pass
    service.add(write_instance(tmp_path / "5-1.dcm", 1, study="5")[0])
    assert service.store.metadata.fill() == 1
    assert service.store.metadata.fill() == 0
    with service.store.database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT count(*) FROM instances JOIN object_metadata USING (object_key)"
        ).scalar_one()
        kept = connection.exec_driver_sql("SELECT count(*) FROM instances").scalar_one()
    assert rows == kept
