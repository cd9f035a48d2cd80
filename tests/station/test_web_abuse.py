"""The whole DICOMweb service under attack: right status, nothing leaked, nothing lost, nothing held up."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.web.connection import SPARE
from tests.station.stow_ground import TOKEN, TYPE, body_of
from tests.station.whole_web_ground import (
    IDLE_SECONDS,
    LARGE,
    PATIENCE,
    SECRETS,
    SERIES,
    STUDY,
    Target,
    harmless,
    target,
)

__all__ = ["target"]

ESTABLISHED = 1  # TCP_ESTABLISHED of linux/tcp.h
INJECTIONS = (
    "' OR '1'='1",
    "1; DROP TABLE instances--",
    '"><script>alert(1)</script>',
    "../../../../etc/passwd",
    "..\\..\\..",
    "%2e%2e%2f%2e%2e%2f",
    "\x00",
    "\r\nSet-Cookie: x=1",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "1.2.3 ",
    "1.02.3",
    "1." * 40,
    "9" * 65,
    "\u202e1.2",
    "１.２",
    "*",
    "?",
    "-1",
    "1e9",
    "NaN",
)


@pytest.fixture(autouse=True)
def _bears_it(target: Target, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO):
        yield
    target.serves()
    assert [item.getMessage() for item in caplog.records if item.levelno >= logging.ERROR] == []
    assert "Person" not in caplog.text


def test_names_in_paths_that_are_none(target: Target) -> None:
    series = f"/studies/{STUDY}/series/{SERIES}"
    for text in INJECTIONS:
        name = quote(text, safe="")
        for path in (
            f"/studies/{name}",
            f"/studies/{name}/series",
            f"/studies/{STUDY}/series/{name}/metadata",
            f"{series}/instances/{name}",
            f"{series}/instances/{name}/rendered",
            f"{target.frames}/frames/{name}",
            f"{target.frames}/frames/{name}/rendered",
            f"{target.frames}/bulkdata/{name}",
            f"/{name}",
            f"/studies/{STUDY}/{name}",
        ):
            assert harmless(target.get(path, Accept="*/*"), text) in {400, 404}, path


def test_keys_that_are_none_or_mean_something_elsewhere(target: Target) -> None:
    for text in INJECTIONS:
        value = quote(text, safe="")
        for key in ("PatientName", "PatientID", "StudyDescription", "AccessionNumber", "00100010"):
            status = harmless(target.get(f"/studies?{key}={value}"), text)
            assert status == (200 if text == "*" else 204), (key, text)
        for key in ("StudyDate", "StudyTime", "StudyInstanceUID", "limit", "offset", "includefield", value):
            assert harmless(target.get(f"/studies?{key}={value}"), text) in {200, 204, 400}, (key, text)
    for query in (
        "limit=-1",
        "limit=99999999999999999999",
        "offset=1.5",
        "limit=1&limit=2",
        "StudyDate=-",
        "StudyDate=20240101-20230101-",
        "NoSuchAttribute=1",
        "0010001=1",
        "includefield=NoSuchAttribute",
        "includefield=zzzzzzzz",
        "PatientID=1&PatientID=2",
        "&".join(f"PatientID{number}=1" for number in range(300)),
        "&".join(["PatientID=1"] * 300),
        "StudyInstanceUID=" + ",".join(["1.2"] * 12000),
        "PatientName=" + "*" * 20000,
    ):
        assert harmless(target.get("/studies?" + query), query[:100]) == 400, query[:100]
    begun = time.monotonic()
    for wildcard in ("*?" * 30 + "x", "*a" * 60, "?" * 60 + "*" * 4):
        assert harmless(target.get("/studies?PatientName=" + quote(wildcard))) in {204, 400}
    assert time.monotonic() - begun < 5
    assert harmless(target.get("/studies?offset=2147483647&limit=0")) == 204
    assert harmless(target.get("/instances?limit=2147483647&includefield=all")) == 200


def test_pictures_frames_and_values_that_cannot_be(target: Target) -> None:
    for frames, status in (
        ("0", 400), ("4", 404), ("999999999", 404), ("1,2,3,4", 404), ("1-3", 400), ("+1", 400),
        ("1,,2", 400), ("1 ", 400), (",".join(["1"] * 5000), 400), ("1e0", 400), ("１", 400),
    ):  # fmt: skip
        answer = target.get(f"{target.frames}/frames/{quote(frames)}", Accept="*/*")
        assert harmless(answer, frames) == status, frames
    for query in (
        "viewport=1000000,1000000",
        "viewport=0,0",
        "viewport=-1,5",
        "viewport=1,2,3",
        "viewport=8,8,100,100,5,5",
        "viewport=8,8,1e308,1e308,1e308,1e308",
        "viewport=nan,nan",
        "window=nan,1",
        "window=1e999,1,linear",
        "window=0,0",
        "window=0,-5,linear",
        "window=1,2,drop",
        "window=1,1e308,sigmoid&viewport=x",
        "quality=101",
        "quality=1.5",
        "quality=-1",
        "quality=" + "9" * 500,
        "annotation=patient",
        "iccprofile=yes",
    ):
        answer = target.get(f"{target.instance}/rendered?{query}", Accept="image/png")
        assert harmless(answer, query) == 400, query
    for query in ("window=1e300,1e300", "window=-1e300,2", "viewport=4096,1", "viewport=8,8,0,0,1,1"):
        assert harmless(target.get(f"{target.instance}/rendered?{query}", Accept="image/*")) in {200, 400}
    for place in (
        "7FE0",
        "7FE00010/0/00100010",
        "00081140/99999999999/00081150",
        "zzzzzzzz",
        "/",
        "00100010/1",
    ):
        assert harmless(target.get(f"{target.instance}/bulkdata/{place}", Accept="*/*"), place) in {400, 404}


def test_forms_that_nobody_has(target: Target) -> None:
    nothing = ("text/html", "application/dicom;q=0", "video/*", 'multipart/related; type="text/html"')
    malformed = ("a", "a/b/c", "a/b;;=", 'a/b; c="', "a/b; q=2", "a/b;q=x", "," * 9 + "a", "a/b" * 4000)
    paths = ("/studies", f"/studies/{STUDY}/metadata", target.instance, f"{target.instance}/frames/1")
    for path in (*paths, f"{target.instance}/rendered"):
        for accept in nothing:
            assert harmless(target.get(path, Accept=accept), accept) == 406, (path, accept)
        for accept in malformed:
            assert harmless(target.get(path, Accept=accept), accept) in {400, 406}, (path, accept)
    unknown = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.100'
    assert harmless(target.get(target.instance, Accept=unknown)) == 406
    evil = 'multipart/related; type="application/dicom"; transfer-syntax="1.2\\"; boundary=x"'
    assert harmless(target.get(target.instance, Accept=evil), "boundary=x") in {400, 406}
    for value in ('"' * 5000, "W/" * 100, "*" * 100, "\xff"):
        assert harmless(target.get(target.instance, Accept="*/*", If_None_Match=value)) in {200, 304}
    for value in ("bytes=0-", "bytes=-1", "bytes=5-1", "bytes=0-0," * 1000, "x"):
        assert harmless(target.get(target.instance, Accept="*/*", Range=value)) in {200, 206, 400, 416}


def test_methods_and_hosts(target: Target) -> None:
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND"):
        assert harmless(target.call(method, target.instance)) == 405
    assert harmless(target.call("POST", target.instance, b"x")) == 405
    for host in ("", "a b", "x\\y", "[::1", "a" * 300, "x/../y", "h:99999999"):
        assert harmless(target.get("/studies", Host=host), host) == 400
    for path in ("/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//studies", "/studies//", "/studies/..;/x"):
        assert harmless(target.get(path), "passwd") in {400, 404}


def test_tokens_that_are_guessed(target: Target) -> None:
    seen = set()
    for value in (
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN.upper()}",
        f"Basic {TOKEN}",
        f"bearer{TOKEN}",
        f"Bearer {TOKEN},Bearer {TOKEN}",
        "Bearer " + "x" * 60000,
        "Bearer \xff\xfe",
        "Bearer \t",
    ):
        for path in (
            "/studies",
            target.instance,
            f"/studies/{STUDY}/series/1.2.3/instances/1.2.3",
            "/studies/x",
        ):
            status, headers, body = target.get(path, Authorization=value)
            assert harmless((status, headers, body)) == 401, value
            assert headers["www-authenticate"].startswith("Bearer")
            seen.add(body)
    assert len(seen) == 1
    status, _, _ = target.call(
        "POST", "/studies", body_of([b"x"]), Authorization="Bearer x", Content_Type=TYPE
    )
    assert status == 401


def test_bytes_that_are_no_requests(target: Target) -> None:
    line = b"GET /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    key = f"Authorization: Bearer {TOKEN}\r\n".encode()
    for request in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"\x00" * 500,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /dicom-web/studies\r\n\r\n",
        b"A" * 100_000,
        line + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        line + b"".join(b"X%d: y\r\n" % number for number in range(20_000)) + b"\r\n",
        b"GET /dicom-web/studies?" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        line + b"no field\r\n\r\n",
        line + b"X: \x00\r\n\r\n",
        line + key + b"Content-Length: -1\r\n\r\n",
        line + key + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        line + key + b"Content-Length: 99999999999999999999999\r\n\r\n",
        line
        + key
        + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
        line + key + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx",
        line + key + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ):
        answered = target.raw(request)
        if answered:
            status = int(answered.split()[1])
            assert 400 <= status < 500, (request[:90], answered[:200])
            assert not any(secret.encode() in answered for secret in SECRETS)


def test_a_smuggled_request_is_never_answered(target: Target) -> None:
    """Both framings at once: whichever a proxy believes, only one answer may come."""
    inner = f"GET /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    request = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(inner) + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
    )
    assert target.raw(request.encode()).count(b"HTTP/1.1 200") == 0


def test_clients_that_are_slow_are_let_go_while_others_are_served(target: Target) -> None:
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
    )
    body = head + f"Content-Type: {TYPE}\r\nContent-Length: 1000000\r\n\r\n".encode()
    trickles = (b"", b"GET ", head, body, body + b"--ground")

    def trickle(beginning: bytes) -> float:
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", target.port), timeout=PATIENCE) as connection:
            connection.sendall(beginning)
            try:
                while not _closed(connection):
                    connection.sendall(b"x" if beginning else b"")
            except ConnectionError:
                pass
        return time.monotonic() - begun

    with ThreadPoolExecutor(20) as clients:
        waiting = [clients.submit(trickle, beginning) for beginning in trickles * 4]
        target.serves()
        assert max(item.result() for item in waiting) < 10 * IDLE_SECONDS


def _closed(connection: socket.socket) -> bool:
    """Wait a tenth of the idle time for the end of a connection; what is answered is read."""
    connection.settimeout(IDLE_SECONDS / 10)
    try:
        return connection.recv(4096) == b""
    except TimeoutError:
        return False


def test_requests_that_do_not_wait_for_answers_do_not_pile_up(target: Target) -> None:
    request = (
        f"GET /dicom-web{target.instance} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n"
    ).encode()
    assert target.raw(request * 2000).count(b"HTTP/1.1") <= 1
    with socket.create_connection(("127.0.0.1", target.port), timeout=PATIENCE) as connection:
        for _ in range(3):  # one after the other, all are answered
            connection.sendall(request)
            answer = b""
            while target.ending not in answer:
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")


def test_a_client_that_reads_nothing_is_let_go(target: Target) -> None:
    request = (
        f"GET /dicom-web/studies/{LARGE} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n"
    ).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", target.port))
        connection.sendall(request)
        end = time.monotonic() + PATIENCE
        while _state(connection) == ESTABLISHED:
            assert time.monotonic() < end
            threading.Event().wait(IDLE_SECONDS / 10)


def _state(connection: socket.socket) -> int:
    """Return the state of a connection as the system sees it (tcp_info of Linux)."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def test_more_connections_than_allowed_are_told_so_and_far_more_are_cut(target: Target) -> None:
    begun = [socket.socket() for _ in range(120)]
    try:
        for connection in begun[:60]:
            connection.connect(("127.0.0.1", target.port))
        assert target.get("/studies")[0] == 503
        for connection in begun[60:]:
            connection.settimeout(PATIENCE)
            with suppress(ConnectionResetError):  # cut before this side knows that it is there
                connection.connect(("127.0.0.1", target.port))
        end = time.monotonic() + PATIENCE
        while sum(_state(connection) != ESTABLISHED for connection in begun) < len(begun) - 40 - SPARE:
            assert time.monotonic() < end
            threading.Event().wait(0.02)
    finally:
        for connection in begun:
            connection.close()
    end = time.monotonic() + PATIENCE
    while target.get("/studies")[0] == 503:
        assert time.monotonic() < end
        threading.Event().wait(0.02)


names = st.one_of(
    st.sampled_from(
        ["PatientName", "PatientID", "StudyDate", "StudyTime", "limit", "offset", "includefield"]
    ),
    st.sampled_from(["ModalitiesInStudy", "00080020", "RequestAttributesSequence.ScheduledProcedureStepID"]),
    st.text(max_size=12),
)
texts = st.one_of(
    st.text(max_size=30), st.text("0123456789-.,*?\\^=[]%_", max_size=20), st.sampled_from(INJECTIONS)
)
levels = st.sampled_from(["/studies", "/series", "/instances", f"/studies/{STUDY}/instances"])


@given(levels, st.lists(st.tuples(names, texts), max_size=4))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_search_fails(target: Target, level: str, keys: list[tuple[str, str]]) -> None:
    query = "&".join(
        f"{quote(name, errors='replace')}={quote(value, errors='replace')}" for name, value in keys
    )
    assert harmless(target.get(f"{level}?{query}")) in {200, 204, 400}


@given(
    st.lists(
        st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"studies", b"series"])), max_size=8
    )
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_path_fails(target: Target, pieces: list[bytes]) -> None:
    path = "/studies/" + "/".join(quote_from_bytes(piece, safe="") for piece in pieces)
    assert harmless(target.get(path, Accept="*/*")) in {200, 204, 307, 400, 404}
