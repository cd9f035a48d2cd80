"""WADO-RS of what is large: flat memory, clients that go away, files that are not what the index says."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import delete

from node.dicom.read import read_header
from node.domain.study import Arrival
from node.store.schema_damage import damaged_files
from node.store.stored_instances import Scope
from node.web import server
from tests.station.receiving_node import wait_until, write_instance
from tests.station.wado_ground import Reading, parts_of, reading, write_image

DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
AS_STORED = "application/dicom; transfer-syntax=*"
LARGE = np.random.default_rng(1).integers(0, 4096, (4, 1024, 1024), dtype="<u2")
"""8 MiB: more than what a server keeps of an answer."""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    with reading(tmp_path_factory.mktemp("web") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def large(web: Reading, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the file and the path of an instance of several pieces."""
    file = write_image(tmp_path_factory.mktemp("large") / "large.dcm", LARGE, ExplicitVRLittleEndian)
    return file, web.add(file)


def asked(web: Reading, path: str, accept: str) -> socket.socket:
    """Ask for something and read nothing of the answer."""
    host, port = web.base.split("/")[2].split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.settimeout(20)
    connection.connect((host, int(port)))
    head = f"GET /dicom-web{path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n"
    connection.sendall(head.encode())
    return connection


def held_open(name: str) -> int:
    """Return how often this process holds an object file open."""
    held = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            held += descriptor.readlink().name == name
        except FileNotFoundError:
            continue
    return held


def test_what_is_large_comes_whole_and_in_its_announced_length(web: Reading, large: tuple[Path, str]) -> None:
    file, path = large
    response = web.get(path, AS_STORED)
    assert int(response.headers["content-length"]) == file.stat().st_size
    assert response.content == file.read_bytes()
    study = web.get(path.partition("/series")[0], DICOM)
    assert int(study.headers["content-length"]) == len(study.content)
    assert [content for _, content in parts_of(study)] == [file.read_bytes()]
    frames = parts_of(web.get(path + "/frames/4,1,2", "multipart/related; type=application/octet-stream"))
    assert [content for _, content in frames] == [LARGE[at].tobytes() for at in (3, 0, 1)]
    for _ in range(8):  # a client may ask again as soon as it has all that was announced
        assert len(web.get(path, AS_STORED).content) == file.stat().st_size
    assert web.client.head(web.base + path, headers={"Accept": AS_STORED}).content == b""
    assert web.get(path, AS_STORED).status_code == 200


def test_a_client_that_goes_away_leaves_nothing_open(web: Reading, large: tuple[Path, str]) -> None:
    name = web.store.files.path(web.store.stored.first(_scope(large[1])).object_key).name
    for end in (b"", struct.pack("ii", 1, 0)):
        connections = [asked(web, large[1], AS_STORED) for _ in range(4)]
        for connection in connections:
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        wait_until(lambda: held_open(name) == 4, "four answers are under way")
        for connection in connections:
            if end:  # a reset in place of an end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, end)
            connection.close()
        wait_until(lambda: held_open(name) == 0, "every object file is closed")
    assert web.get(large[1], AS_STORED).status_code == 200


def test_a_client_that_goes_away_is_no_failure_of_the_server(
    web: Reading, large: tuple[Path, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Also not one that goes before the head of the answer is written, or at any moment behind it."""
    for attempt in range(20):
        with asked(web, large[1], AS_STORED) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if attempt % 2:
                connection.recv(1)
    name = web.store.files.path(web.store.stored.first(_scope(large[1])).object_key).name
    wait_until(lambda: held_open(name) == 0, "every object file is closed")
    assert web.get(large[1], AS_STORED).status_code == 200
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_server_stops_though_clients_take_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STOP_SECONDS", 1)
    with ExitStack() as clients, reading(tmp_path / "data") as web:
        path = web.add(write_image(tmp_path / "a.dcm", LARGE, ExplicitVRLittleEndian))
        for _ in range(4):
            connection = clients.enter_context(asked(web, path, AS_STORED))
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_client_that_takes_nothing_is_let_go(tmp_path: Path) -> None:
    with reading(tmp_path / "data", idle_seconds=0.2) as web:
        path = web.add(write_image(tmp_path / "a.dcm", LARGE, ExplicitVRLittleEndian))
        name = web.store.files.path(web.store.stored.first(_scope(path)).object_key).name
        with asked(web, path, AS_STORED):
            wait_until(lambda: held_open(name) == 1, "the answer is under way")
            wait_until(lambda: held_open(name) == 0, "the object file is closed")
        assert web.get(path, AS_STORED).status_code == 200


def test_many_clients_get_right_answers_at_once(web: Reading, large: tuple[Path, str]) -> None:
    file, path = large
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    found: list[str] = []

    def read() -> None:
        response = web.get(path, AS_STORED)
        found.append(hashlib.sha256(response.content).hexdigest())

    threads = [threading.Thread(target=read) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [digest] * 32


def test_a_file_that_is_cut_short_is_never_taken_for_whole(web: Reading, tmp_path: Path) -> None:
    path = web.add(write_image(tmp_path / "cut.dcm", LARGE + 1, ExplicitVRLittleEndian))
    kept = web.store.files.path(web.store.stored.first(_scope(path)).object_key)
    with asked(web, path, AS_STORED) as connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200
        os.truncate(kept, 100_000)  # while it is on its way
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    os.truncate(kept, LARGE.nbytes // 2)  # its header is whole, and so are its first frames
    for end in ("/frames/1", "/bulkdata/7FE00010", "/rendered", ""):
        with web.store.database.write() as connection:
            connection.execute(delete(damaged_files))
        assert web.get(path + end, "*/*").status_code == 404, end
        assert web.store.damage.count() == 1, end
    kept.unlink()
    assert web.get(path, AS_STORED).status_code == 404
    assert web.get(path.partition("/series")[0], DICOM).status_code == 206


def _scope(path: str) -> Scope:
    study, series, instance = path.split("/")[2::2]
    return Scope(study_instance_uid=study, series_instance_uid=series, sop_instance_uid=instance)


FRAME_BYTES, FRAMES = 1 << 20, 2048
OTHER = {"StudyInstanceUID": "2.25.9", "SeriesInstanceUID": "2.25.10"}


@pytest.mark.long
def test_two_gibibytes_go_out_with_flat_memory(web: Reading, tmp_path: Path) -> None:
    """Its pixel data are a hole in the file, so that the disk of a test machine is not filled."""
    one = np.zeros((1, 512, 1024), "<u2")
    file = write_image(tmp_path / "huge.dcm", one, ExplicitVRLittleEndian, **OTHER)
    data = bytearray(file.read_bytes()[:-FRAME_BYTES])
    data[-4:] = struct.pack("<I", FRAME_BYTES * FRAMES)
    data = data.replace(b"IS\x02\x001 ", b"IS\x04\x002048", 1)
    with file.open("wb") as stream:
        stream.write(data)
        stream.truncate(len(data) + FRAME_BYTES * FRAMES)
    key = hashlib.sha256(b"a name for it").hexdigest()
    header, size = read_header(file), file.stat().st_size
    assert header.number_of_frames == FRAMES
    with file.open("rb") as opened:
        web.store.files.adopt(file, key, opened.fileno())
    web.store.intake.add(
        Arrival(
            header=header,
            object_key=key,
            sha256=key,
            size=size,
            received_at=web.store.database.clock.now(),
            calling_ae_title="CT1",
            association_id=None,
        )
    )
    path = f"{web.base}/studies/{header.study_instance_uid}"
    before = _resident()
    instance = f"{path}/series/{header.series_instance_uid}/instances/{header.sop_instance_uid}"
    for address, accept in (
        (path, DICOM),
        (path, 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2'),
        (instance + "/bulkdata/7FE00010", "application/octet-stream"),
        (instance + "/frames/" + ",".join(map(str, range(1, FRAMES + 1))), "multipart/related"),
    ):
        command = ["curl", "-sf", "-H", f"Accept: {accept}", "-o", "/dev/null", "-w", "%{size_download}"]
        read = subprocess.run([*command, address], check=True, capture_output=True, timeout=300).stdout
        assert int(read) >= FRAME_BYTES * FRAMES
        assert _resident() - before < 64 << 20


def _resident() -> int:
    """Return the bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.long
def test_a_study_of_5000_instances_goes_out_with_flat_memory(web: Reading, tmp_path: Path) -> None:
    file = tmp_path / "one.dcm"
    sizes = 0
    for number in range(5000):
        made, _ = write_instance(file, number, study="many", pixel_bytes=64 * 64 * 2)
        path = web.add(made)
        sizes += made.stat().st_size
    study = web.base + path.partition("/series")[0]
    before = _resident()
    for accept in (DICOM, 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2'):
        count = size = 0
        with web.client.stream("GET", study, headers={"Accept": accept}) as response:
            for piece in response.iter_bytes(1 << 16):
                count += piece.count(b"DICM")
                size += len(piece)
        assert abs(count - 5000) < 20  # some are cut in two
        assert size > 0.9 * sizes
        assert _resident() - before < 64 << 20
