"""STOW-RS of what is large and of what is many: all of it stored, with flat memory."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.station.receiving_node import wait_until, write_instance
from tests.station.stow_ground import BOUNDARY, TOKEN, TYPE, Serving, StowLimits, head_of, serving

GIBIBYTE = 1 << 30
LIMITS = StowLimits(request_bytes=16 * GIBIBYTE, object_bytes=2 * GIBIBYTE, requests=8)
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": TYPE}
HEAD = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
END = f"\r\n--{BOUNDARY}--\r\n".encode()
FLAT_BYTES = 96 << 20
"""By which the memory of server and client together may grow."""

pytestmark = pytest.mark.long


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path / "data", limits=LIMITS) as running:
        yield running


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def flat_memory() -> Iterator[None]:
    """Check, while something is done, how the memory of this process grows."""
    before, most, done = resident(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    assert most[0] - before < FLAT_BYTES


def post(web: Serving, body: Iterator[bytes]) -> dict:
    with httpx.Client(verify=False, timeout=600) as client:
        response = client.post(web.base + "/studies", content=body, headers=HEADERS)
    assert response.status_code == 200, response.text[:300]
    return response.json()


def test_an_image_of_nearly_two_gibibytes_comes_in(web: Serving, tmp_path: Path) -> None:
    file, uid = write_instance(tmp_path / "huge.dcm")
    pixel_bytes, data = 2000 << 20, file.read_bytes()
    begin = data.index(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 64 * 64 * 2))
    head = data[:begin] + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, pixel_bytes)
    piece = os.urandom(1 << 20)
    expected = hashlib.sha256(head[head.index(b"\x08\x00\x05\x00") :])

    def body() -> Iterator[bytes]:
        yield HEAD
        yield head
        for _ in range(pixel_bytes // len(piece)):
            expected.update(piece)
            yield piece
        yield END

    with flat_memory():
        answer = post(web, body())
    assert answer["00081199"]["Value"][0]["00081155"]["Value"] == [uid]
    with web.store.database.read() as connection:
        query = f"SELECT object_key FROM instances WHERE sop_instance_uid = '{uid}'"
        path = web.store.files.path(connection.exec_driver_sql(query).scalar_one())
    with path.open("rb") as stored:
        stored.seek(stored.read(4096).index(b"\x08\x00\x05\x00"))
        assert hashlib.file_digest(stored, "sha256").digest() == expected.digest()


def test_a_study_of_five_thousand_instances_comes_in(web: Serving, tmp_path: Path) -> None:
    sent: list[str] = []

    def body() -> Iterator[bytes]:
        for number in range(1, 5001):
            file, uid = write_instance(tmp_path / "one.dcm", number, pixel_bytes=1024)
            sent.append(uid)
            yield (b"\r\n" if number > 1 else b"") + HEAD + file.read_bytes()
        yield END

    with flat_memory():
        answer = post(web, body())
    assert [item["00081155"]["Value"][0] for item in answer["00081199"]["Value"]] == sent
    assert web.stored() == set(sent)


def test_a_million_parts_are_refused_with_flat_memory(web: Serving) -> None:
    parts = [f"--{BOUNDARY}\r\n\r\n\r\n".encode() * 1000] * 1000
    with flat_memory(), httpx.Client(verify=False, timeout=600) as client:
        response = client.post(web.base + "/studies", content=iter(parts), headers=HEADERS)
    assert response.status_code == 413
    assert len(response.json()["0008119A"]["Value"]) == LIMITS.parts
    assert web.stored() == set()


def test_a_stop_waits_for_no_body_that_does_not_come(tmp_path: Path) -> None:
    data = write_instance(tmp_path / "one.dcm")[0].read_bytes()
    with ExitStack() as running:
        web = running.enter_context(serving(tmp_path / "data", limits=LIMITS))
        with socket.create_connection(("127.0.0.1", web.port), timeout=20) as connection:
            connection.sendall(head_of(2_000_000) + HEAD + data + b"\r\n" + HEAD + data[:2000])
            wait_until(lambda: len(web.stored()) == len(web.spooled()) == 1, "one is whole, one arrives")
            begun = time.monotonic()
            running.close()
            assert time.monotonic() - begun < 10
    with serving(tmp_path / "data") as web:
        assert (web.open_associations(), web.spooled()) == (0, [])
        assert len(web.stored()) == 1


def test_a_short_body_that_does_not_come_takes_no_thread_and_no_time_to_stop(tmp_path: Path) -> None:
    """It is handed over when it is whole."""
    data = write_instance(tmp_path / "one.dcm")[0].read_bytes()
    whole = HEAD + data + END
    with ExitStack() as running:
        web = running.enter_context(serving(tmp_path / "data", limits=replace(LIMITS, requests=1)))
        address = ("127.0.0.1", web.port)
        with socket.create_connection(address, timeout=20) as slow:
            slow.sendall(head_of(len(whole)) + whole[:-1])
            with socket.create_connection(address, timeout=20) as other:
                other.sendall(head_of(len(whole)) + whole)
                assert other.recv(1 << 16).startswith(b"HTTP/1.1 200")
            slow.sendall(whole[-1:])
            assert slow.recv(1 << 16).startswith(b"HTTP/1.1 200")
            slow.sendall(head_of(len(whole)) + whole[:-1])
            begun = time.monotonic()
            running.close()
            assert time.monotonic() - begun < 10
