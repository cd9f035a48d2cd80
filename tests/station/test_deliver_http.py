"""Web servers of every kind: honest, broken, hostile, and those that are somebody else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.domain.errors import DestinationUnavailable
from node.domain.network import SecretSource
from node.http.credentials import MAX_BYTES, SecretReader
from node.http.session import MAX_ANSWER_BYTES
from tests.certificates import Authority
from tests.station.web_ground import access, always, outgoing, stow, webhook
from tests.web_server import Seen, WebServer, answer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report"
    path.write_bytes(b"{}" * 100_000)
    return path


def well(_: Seen) -> bytes:
    return answer(200)


def endless(_: Seen) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    block = b"%x\r\n" % 65536 + b"x" * 65536 + b"\r\n"
    for _ in range(2 * MAX_ANSWER_BYTES // 65536):
        yield block


def endless_headers(_: Seen) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    for _ in range(1000):
        yield b"X: " + b"x" * 1000 + b"\r\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            lambda _: answer(302, Location="http://127.0.0.1:1/elsewhere"),
            "HTTP 302 Found: it leads to another",
        ),
        (lambda _: answer(401), "does not accept the credentials"),
        (lambda _: answer(403), "does not allow this"),
        (lambda _: answer(404), "nothing is at this address"),
        (lambda _: answer(429), "come more slowly"),
        (lambda _: answer(503), "cannot serve now"),
    ],
)
def test_a_server_that_does_not_serve_is_not_available(report: Path, script: object, message: str) -> None:
    with WebServer(script) as server, pytest.raises(DestinationUnavailable, match=message):
        webhook(server.url).send([outgoing(report, number) for number in (1, 2)], may_leave=always)
    assert len(server.seen) == 1  # a redirect was not followed, nothing was asked twice


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (lambda _: answer(101), "no answer"),
        (lambda _: answer(408), "waited too long"),
        (lambda _: answer(502), "got no answer of the server"),
        (lambda _: answer(504), "waited in vain"),
        (endless, "the answer is longer than"),
        (endless_headers, "no answer"),
        (lambda _: [b"SSH-2.0-OpenSSH_9.2\r\n"], "no answer"),
        (lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"], "no answer"),
        (lambda _: [], "no answer"),
    ],
)
def test_what_was_not_answered_was_tried(report: Path, script: object, message: str) -> None:
    with WebServer(script) as server:
        (reply,) = webhook(server.url).send([outgoing(report, number) for number in (1, 2)], may_leave=always)
    assert (reply.delivery_id, reply.delivered, reply.retryable) == (1, False, True)
    assert message in reply.detail
    assert len(server.seen) == 1


class Hurrying:
    """A clock on which each look takes a second."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> object:
        raise AssertionError("a deadline is no time of day")

    def monotonic(self) -> float:
        self.seconds += 1.0
        return self.seconds


def test_an_answer_that_does_not_end_in_the_request_s_time_is_none(report: Path) -> None:
    def slow(_: Seen) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MAX_ANSWER_BYTES
        for _ in range(MAX_ANSWER_BYTES // 4096):
            yield b"x" * 4096

    # A read takes 64 KiB at most, so that the clock is looked at 128 times before the answer is whole.
    with WebServer(slow) as server:
        sender = stow(server.url, clock=Hurrying(), request_seconds=60.0)
        (reply,) = sender.send([outgoing(report)], may_leave=always)
    assert (reply.delivered, "too long" in reply.detail) == (False, True)


def test_an_object_that_does_not_go_out_in_the_request_s_time_is_not_sent(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(4_000_000))
    with WebServer(well) as server:
        sender = stow(server.url, clock=Hurrying(), request_seconds=60.0)
        (reply,) = sender.send([outgoing(large)], may_leave=always)
    assert (reply.delivered, "too long" in reply.detail) == (False, True)


def test_nobody_there_is_not_available(report: Path) -> None:
    with WebServer(well) as server:
        url = server.url
    with pytest.raises(DestinationUnavailable, match="Connection refused"):
        stow(url).send([outgoing(report)], may_leave=always)


@pytest.mark.parametrize("host", ["pacs..example", "p" * 70, "xn--.example"])
def test_a_host_that_cannot_be_is_not_available(report: Path, host: str) -> None:
    with pytest.raises(DestinationUnavailable, match="no answer"):
        stow(f"https://{host}").send([outgoing(report)], may_leave=always)


def test_a_server_of_the_authority_is_called(authority: Authority, report: Path) -> None:
    with WebServer(well, signed=authority.sign("server")) as server:
        (reply,) = webhook(server.url, ca_file=authority.root.certificate).send(
            [outgoing(report)], may_leave=always
        )
    assert reply.delivered


def test_a_server_of_nobody_is_not_called(authority: Authority, report: Path, tmp_path: Path) -> None:
    another = Authority(tmp_path / "another")
    with (
        WebServer(well, signed=another.sign("server")) as server,
        pytest.raises(DestinationUnavailable, match="certificate is not trusted"),
    ):
        webhook(server.url, ca_file=authority.root.certificate).send([outgoing(report)], may_leave=always)
    assert server.seen == []


def test_the_node_shows_its_certificate(authority: Authority, report: Path) -> None:
    client = authority.sign("client")
    with WebServer(well, signed=authority.sign("server"), client_ca=authority.root.certificate) as server:
        trusting = {"ca_file": authority.root.certificate}
        (reply,) = webhook(server.url, **trusting).send([outgoing(report)], may_leave=always)
        assert (reply.delivered, server.seen) == (False, [])
        (reply,) = webhook(
            server.url, **trusting, client_certificate=client.certificate, client_key=client.key
        ).send([outgoing(report)], may_leave=always)
    assert reply.delivered


@pytest.mark.parametrize("key", ["ca_file", "client_certificate"])
def test_certificates_that_cannot_be_read_are_named(report: Path, tmp_path: Path, key: str) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    values = {key: tmp_path / "no.pem", "client_key": tmp_path / "no.pem"}
    with pytest.raises(DestinationUnavailable, match="ca_file, client_certificate or client_key"):
        webhook("https://127.0.0.1:1", **values).send([outgoing(report)], may_leave=always)


def test_credentials_are_sent_and_never_logged(report: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with WebServer(well) as server:
        token = stow(server.url, token=SecretSource(variable="TOKEN"))
        basic = stow(server.url, user="node", password=SecretSource(variable="PASSWORD"))
        plain = stow(server.url)
        for sender in (token, basic, plain):
            sender.send([outgoing(report)], may_leave=always)
    sent = [request.headers.get("authorization") for request in server.seen]
    assert sent == ["Bearer a.b-c", "Basic bm9kZTpwYXNz", None]
    assert "a.b-c" not in caplog.text
    assert "bm9kZTpwYXNz" not in caplog.text
    assert "a.b-c" not in repr(vars(token))


def test_the_environment_gives_no_proxy_and_no_credentials(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with WebServer(well) as server:
        stow(server.url).send([outgoing(report)], may_leave=always)
    assert "authorization" not in server.seen[0].headers


def test_a_secret_is_read_anew_each_time(report: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    sender_file = SecretSource(file=secret)
    with WebServer(well) as server:
        sender = stow(server.url, token=sender_file)
        for token in ("first\n", "second\n"):
            secret.write_text(token)
            sender.send([outgoing(report)], may_leave=always)
    assert [item.headers["authorization"] for item in server.seen] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("content", ["", " \n", "x" * (MAX_BYTES + 1), None])
def test_a_secret_that_is_not_there_is_named_and_not_told(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DestinationUnavailable, match=str(path)) as caught:
        SecretReader({}).read(SecretSource(file=path))
    assert "xxx" not in str(caught.value)
    with pytest.raises(DestinationUnavailable, match="variable NOBODY"):
        SecretReader({}).read(SecretSource(variable="NOBODY"))


@pytest.mark.parametrize("token", ["two words", "line\r\nX-Injected: 1", "schön"])
def test_a_token_cannot_carry_a_header(token: str) -> None:
    reader = SecretReader({"T": token})
    with pytest.raises(DestinationUnavailable, match="visible ASCII"):
        reader.authorization(access("https://h", token=SecretSource(variable="T")))
