"""One destination that takes a short signed message for each report and each withdrawal."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final

from node.deliver.one_by_one import send_one_by_one
from node.domain.delivery import Message, OutgoingObject, ProofReply, SendReply
from node.domain.errors import DestinationRefused, DestinationUnavailable, DicomError
from node.domain.network import WebhookDestination
from node.domain.ports import Clock
from node.http.credentials import SecretReader
from node.http.session import Answer, HttpSession, http_session

SHORTEST_KEY: Final = 16
"""Bytes; RFC 2104 section 3 discourages keys shorter than the digest, and a guessed one signs anything."""
PING: Final = "ping"
SIGNATURE_VERSION: Final = "v1"


class WebhookSender:
    """A web service of the settings. An answer of success is the proof: there is nobody else to ask.

    Parameters
    ----------
    destination : WebhookDestination
    clock : Clock
    secrets : SecretReader
    compose : callable
        Returns the message about the object in a file; raises `DicomError` when there is none to be made.
    """

    def __init__(
        self,
        destination: WebhookDestination,
        *,
        clock: Clock,
        secrets: SecretReader,
        compose: Callable[[Path], Message],
    ) -> None:
        self._destination = destination
        self._clock = clock
        self._secrets = secrets
        self._compose = compose

    @property
    def name(self) -> str:
        """Return the destination's name in the settings."""
        return self._destination.name

    def send(
        self, objects: Sequence[OutgoingObject], *, may_leave: Callable[[OutgoingObject], bool]
    ) -> list[SendReply]:
        """Tell of objects; one reply, in order, for each that was told of or tried.

        Raises
        ------
        DestinationUnavailable
            Before anything was told.
        """
        with self._session() as http:
            return send_one_by_one(objects, partial(self._tell_of, http), may_leave=may_leave)

    def prove(
        self, objects: Sequence[OutgoingObject], *, transaction_uid: str, asked: int
    ) -> list[ProofReply]:
        """Answer that nothing can be asked; its answer of success was the proof."""
        del transaction_uid, asked
        return [ProofReply.unprovable(item, "a web service cannot be asked") for item in objects]

    def echo(self) -> None:
        """Verify that the service answers: it is sent a signed ``ping``.

        Raises
        ------
        DestinationUnavailable, DestinationRefused
        """
        message = Message(event=PING, key=PING, body=b'{"event": "ping"}')
        with self._session() as http:
            answer = self._post(http, message)
        if not answer.success:
            raise DestinationRefused(f"{answer.text}: it does not take a ping")

    def _tell_of(self, http: HttpSession, item: OutgoingObject) -> SendReply:
        try:
            message = self._compose(item.path)
        except DicomError as error:
            return _reply(item, retryable=False, detail=str(error))
        except OSError as error:
            return _reply(item, retryable=True, detail=f"its file cannot be read: {error.strerror}")
        answer = self._post(http, message)
        if not answer.success:
            return _reply(item, retryable=answer.retryable, detail=answer.text)
        return SendReply(
            delivery_id=item.delivery_id,
            delivered=True,
            retryable=False,
            detail=message.event,
            proof=answer.text,
        )

    def _post(self, http: HttpSession, message: Message) -> Answer:
        headers = {
            "Content-Type": "application/json",
            "Groundglass-Event": message.event,
            "Groundglass-Signature": self._signature(message.body),
            "Idempotency-Key": message.key,
        }
        return http.call("POST", headers=headers, content=message.body)

    def _signature(self, body: bytes) -> str:
        """Return time and signature, HMAC-SHA256 of ``TIME.BODY``: an old message cannot pass for a new one.

        Raises
        ------
        DestinationUnavailable
            The key is not there, or too short.
        """
        key = self._secrets.read(self._destination.secret)
        if len(key) < SHORTEST_KEY:
            raise DestinationUnavailable(f"the key of the signature is shorter than {SHORTEST_KEY} bytes")
        seconds = int(self._clock.now().timestamp())
        signed = hmac.new(key, b"%d." % seconds + body, hashlib.sha256).hexdigest()
        return f"t={seconds},{SIGNATURE_VERSION}={signed}"

    def _session(self) -> AbstractContextManager[HttpSession]:
        return http_session(self._destination.access, clock=self._clock, secrets=self._secrets)


def _reply(item: OutgoingObject, *, retryable: bool, detail: str) -> SendReply:
    return SendReply(delivery_id=item.delivery_id, delivered=False, retryable=retryable, detail=detail)
