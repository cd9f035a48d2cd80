"""Web destinations of the tests, and the objects that go there."""

from __future__ import annotations

from pathlib import Path

from node.deliver.stow_sender import StowSender
from node.deliver.webhook_sender import WebhookSender
from node.domain.delivery import Message, OutgoingObject
from node.domain.network import Proof, SecretSource, StowDestination, WebAccess, WebhookDestination
from node.domain.ports import Clock
from node.domain.result import ResultKind
from node.http.credentials import SecretReader
from tests.station.receiving_node import WallClock

KEY = "0123456789abcdef0123456789abcdef"
ENVIRON = {"TOKEN": "a.b-c", "PASSWORD": "pass", "KEY": KEY}
REPORT = "1.2.840.10008.5.1.4.1.1.88.34"


def access(url: str, **values: object) -> WebAccess:
    """Return how a server of the tests is called."""
    return WebAccess(**({"url": url, "connect_seconds": 5.0, "request_seconds": 20.0} | values))


def stow(
    url: str,
    *,
    proof: Proof = Proof.AUTO,
    clock: Clock | None = None,
    scratch: Path | None = None,
    **values: object,
) -> StowSender:
    """Return a sender to a DICOMweb server."""
    destination = StowDestination(
        name="web", accept_demonstration=True, access=access(url, **values), proof=proof
    )
    return StowSender(destination, clock=clock or WallClock(), secrets=SecretReader(ENVIRON), scratch=scratch)


def webhook(
    url: str, *, clock: Clock | None = None, key: SecretSource | None = None, **values: object
) -> WebhookSender:
    """Return a sender to a web service that is told the name of each file."""
    destination = WebhookDestination(
        name="hook",
        accept_demonstration=True,
        access=access(url, **values),
        secret=key or SecretSource(variable="KEY"),
        identifiers=False,
    )

    def compose(path: Path) -> Message:
        return Message(event="result", key=f"result-{path.name}", body=path.read_bytes())

    return WebhookSender(
        destination, clock=clock or WallClock(), secrets=SecretReader(ENVIRON), compose=compose
    )


def outgoing(path: Path, number: int = 1, *, study: str = "1.2.3.4") -> OutgoingObject:
    """Return an object of a study."""
    return OutgoingObject(
        delivery_id=number,
        kind=ResultKind.REPORT,
        sop_class_uid=REPORT,
        sop_instance_uid=f"2.25.{number}",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        study_instance_uid=study,
        series_instance_uid="2.25.99",
        path=path,
    )


def always(_: OutgoingObject) -> bool:
    """Let everything leave."""
    return True
