"""Signed messages to a web service."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from node.deliver.webhook_sender import WebhookSender
from node.domain.delivery import Message, ProofStanding
from node.domain.errors import DestinationRefused, DestinationUnavailable, NotAReport
from node.domain.network import SecretSource, WebhookDestination
from node.http.credentials import SecretReader
from tests.station.receiving_node import WallClock
from tests.station.web_ground import ENVIRON, KEY, access, always, outgoing, webhook
from tests.web_server import Seen, WebServer, answer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "message"
    made.write_bytes(b'{"outcome": "negative"}')
    return made


def is_signed(seen: Seen, key: str = KEY) -> bool:
    """Verify as the how-to page tells a receiver to."""
    parts = dict(part.split("=", 1) for part in seen.headers["groundglass-signature"].split(","))
    wanted = hmac.new(key.encode(), f"{parts['t']}.".encode() + seen.body, hashlib.sha256)
    return hmac.compare_digest(parts["v1"], wanted.hexdigest())


def test_a_message_is_signed_and_its_answer_is_the_proof(path: Path) -> None:
    with WebServer(lambda _: answer(204)) as server:
        (reply,) = webhook(f"{server.url}/hook").send([outgoing(path)], may_leave=always)
    assert (reply.delivered, reply.proof) == (True, "HTTP 204 No Content")
    (seen,) = server.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/hook", path.read_bytes())
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["groundglass-event"] == "result"
    assert seen.headers["idempotency-key"] == "result-message"
    assert is_signed(seen)
    assert not is_signed(seen, KEY + "0")


def test_the_same_is_told_under_the_same_key(path: Path) -> None:
    with WebServer(lambda _: answer(200 if len(server.seen) > 1 else 500)) as server:
        first = webhook(server.url).send([outgoing(path)], may_leave=always)
        second = webhook(server.url).send([outgoing(path)], may_leave=always)
    assert [reply.delivered for reply in (*first, *second)] == [False, True]
    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 1


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (409, False), (422, False), (500, True)])
def test_what_is_not_taken_is_refused_or_told_again(path: Path, status: int, retryable: bool) -> None:
    with WebServer(lambda _: answer(status)) as server:
        (reply,) = webhook(server.url).send([outgoing(path)], may_leave=always)
    assert (reply.delivered, reply.retryable) == (False, retryable)


def test_a_service_that_goes_away_leaves_the_rest(path: Path) -> None:
    with WebServer(lambda _: answer(200 if len(server.seen) == 1 else 503)) as server:
        replies = webhook(server.url).send([outgoing(path, n) for n in (1, 2, 3)], may_leave=always)
    assert [reply.delivered for reply in replies] == [True, False]


def test_what_may_not_leave_is_not_told(path: Path) -> None:
    with WebServer(lambda _: answer(200)) as server:
        replies = webhook(server.url).send([outgoing(path)], may_leave=lambda _: False)
    assert (replies, server.seen) == ([], [])


def test_a_short_key_signs_nothing(path: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    with WebServer(lambda _: answer(200)) as server, pytest.raises(DestinationUnavailable, match="shorter"):
        webhook(server.url, key=SecretSource(file=tmp_path / "key")).send([outgoing(path)], may_leave=always)
    assert server.seen == []


def test_of_what_is_no_report_nothing_is_told(path: Path) -> None:
    def compose(_: Path) -> Message:
        raise NotAReport("no report")

    with WebServer(lambda _: answer(200)) as server:
        sender = WebhookSender(
            WebhookDestination(
                name="hook",
                accept_demonstration=True,
                access=access(server.url),
                secret=SecretSource(variable="KEY"),
                identifiers=False,
            ),
            clock=WallClock(),
            secrets=SecretReader(ENVIRON),
            compose=compose,
        )
        (reply,) = sender.send([outgoing(path)], may_leave=always)
    assert (reply.delivered, reply.retryable) == (False, False)
    assert server.seen == []


def test_a_file_that_is_gone_is_told_of_later(path: Path) -> None:
    with WebServer(lambda _: answer(200)) as server:
        (reply,) = webhook(server.url).send([outgoing(path.with_name("gone"))], may_leave=always)
    assert (reply.delivered, reply.retryable) == (False, True)


def test_nothing_can_be_asked_afterwards(path: Path) -> None:
    (proof,) = webhook("http://127.0.0.1:1").prove([outgoing(path)], transaction_uid="2.25.7", asked=0)
    assert proof.standing is ProofStanding.UNPROVABLE


def test_an_echo_is_a_signed_ping() -> None:
    with WebServer(lambda _: answer(200)) as server:
        webhook(server.url).echo()
    (seen,) = server.seen
    assert json.loads(seen.body) == {"event": "ping"}
    assert seen.headers["groundglass-event"] == "ping"
    assert is_signed(seen)
    with WebServer(lambda _: answer(422)) as server, pytest.raises(DestinationRefused):
        webhook(server.url).echo()
