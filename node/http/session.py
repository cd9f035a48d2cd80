"""Calls of one HTTP service, within limits: no redirects, no proxies of the environment, bounded answers."""

from __future__ import annotations

import http
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpcore
import httpx

from node.domain.errors import DestinationSilent, DestinationUnavailable
from node.domain.network import WebAccess
from node.domain.ports import Clock
from node.http.credentials import SecretReader
from node.http.deadline import Deadline, DeadlineTransport

MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
"""Longest body of an answer; the metadata of a report (WADO-RS) have about 2 MiB."""
NETWORK_ERRORS: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    httpx.HTTPError,
    httpx.InvalidURL,
)
NOT_TAKEN: Final = {
    401: "it does not accept the credentials of the settings",
    403: "it does not allow this with the credentials of the settings",
    404: "nothing is at this address; correct `url`",
    405: "this address does not take such requests; correct `url`",
    407: "a proxy asks for credentials",
    410: "nothing is at this address any more; correct `url`",
    421: "this address is of another server; correct `url`",
    425: "it asks to come again",
    429: "it asks to come more slowly",
    503: "it cannot serve now",
}
"""Statuses that concern every object alike (RFC 9110 section 15): the destination is not available."""
NOT_TOLD: Final = {
    408: "it waited too long for the request",
    502: "a proxy got no answer of the server",
    504: "a proxy waited in vain for the server",
}
"""Statuses by which nobody knows whether the server took the request."""
NOT_ASKED: Final = (
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.UnsupportedProtocol,
    httpx.InvalidURL,
    UnicodeError,  # a host whose labels are empty or too long (RFC 5890)
)
"""What happens before a request goes out."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to one request."""

    status: int
    content_type: str
    """Media type without parameters, in lower case; empty when the body is not to be trusted."""
    body: bytes

    @property
    def success(self) -> bool:
        """Whether the status is one of success (RFC 9110 section 15.3)."""
        return 200 <= self.status < 300

    @property
    def retryable(self) -> bool:
        """Whether a failure may pass by itself: the server's fault, not the object's (RFC 9110 15.6)."""
        return self.status >= 500

    @property
    def text(self) -> str:
        """Return the status in words of our own; nothing of the body."""
        return _status_text(self.status)

    def json(self) -> Any:
        """Return the body as JSON, or None when it is none."""
        if self.content_type != "application/json" and not self.content_type.endswith("+json"):
            return None
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, kw_only=True)
class StreamedAnswer:
    """The answer to one request while its body arrives."""

    status: int
    content_type: str
    """With its parameters; empty when the body is not to be trusted."""
    chunks: Iterator[bytes]

    @property
    def success(self) -> bool:
        """Whether the status is one of success (RFC 9110 section 15.3)."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """Return the status in words of our own."""
        return _status_text(self.status)


class HttpSession:
    """Calls of one service over one connection, one after the other; from `http_session`.

    Parameters
    ----------
    client : httpx.Client
    deadline : Deadline
        Of the client's transport.
    access : WebAccess
    """

    def __init__(self, client: httpx.Client, deadline: Deadline, access: WebAccess) -> None:
        self._client = client
        self._deadline = deadline
        self._access = access

    def call(
        self,
        method: str,
        path: str = "",
        *,
        headers: Mapping[str, str],
        content: bytes | Iterator[bytes] = b"",
        expected: frozenset[int] = frozenset(),
    ) -> Answer:
        """Send one request and read its whole answer.

        Parameters
        ----------
        method : str
        path : str
            Behind the service's address; every part of it quoted.
        headers : mapping of str to str
        content : bytes or iterator of bytes
            The body; with an iterator, ``headers`` give its Content-Length.
        expected : frozenset of int
            Statuses that the caller understands, though they would mean that the service is not available.

        Raises
        ------
        DestinationUnavailable
            No connection, a redirect, or a status that concerns every object alike.
        DestinationSilent
            An answer that is late, too long or no HTTP, or that of a proxy without one of its server.
        """
        with self._sent(method, path, headers, content) as response:
            answer = _read(response)
        if answer.status not in expected:
            _refuse_unavailable(answer)
        return answer

    @contextmanager
    def stream(
        self, path: str, *, headers: Mapping[str, str], expected: frozenset[int] = frozenset()
    ) -> Iterator[StreamedAnswer]:
        """Send one GET request; its body is read by the caller, chunk by chunk, in the request's time.

        Parameters
        ----------
        path : str
            Behind the service's address; every part of it quoted.
        headers : mapping of str to str
        expected : frozenset of int
            Statuses that the caller understands, though they would mean that the service is not available.

        Raises
        ------
        DestinationUnavailable
            No connection, a redirect, or a status that concerns every object alike.
        DestinationSilent
            An answer that is late or no HTTP, or that of a proxy without one of its server.
        """
        with self._sent("GET", path, headers, b"") as response:
            if response.status_code not in expected:
                _refuse_unavailable(Answer(status=response.status_code, content_type="", body=b""))
            yield StreamedAnswer(
                status=response.status_code,
                content_type="" if _is_encoded(response) else response.headers.get("Content-Type", ""),
                chunks=response.iter_raw(),
            )

    @contextmanager
    def _sent(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes | Iterator[bytes]
    ) -> Iterator[httpx.Response]:
        self._deadline.begin(self._access.request_seconds)
        try:
            request = self._client.build_request(
                method, self._access.url + path, headers=dict(headers), content=content
            )
            with closing(self._client.send(request, stream=True)) as response:
                yield response
        except NOT_ASKED as error:
            raise DestinationUnavailable(f"no answer: {_cause(error)}") from error
        except NETWORK_ERRORS as error:
            raise DestinationSilent(f"no answer: {_cause(error)}") from error


@contextmanager
def http_session(access: WebAccess, *, clock: Clock, secrets: SecretReader) -> Iterator[HttpSession]:
    """Open a session; certificates and secrets are read now.

    Raises
    ------
    DestinationUnavailable
        A certificate or a secret is not there.
    """
    deadline = Deadline(clock)
    headers = {"Accept-Encoding": "identity", "User-Agent": "Groundglass"}
    authorization = secrets.authorization(access)
    if authorization:
        headers["Authorization"] = authorization
    with httpx.Client(
        transport=DeadlineTransport(_tls(access), deadline),
        headers=headers,
        timeout=access.connect_seconds,
        follow_redirects=False,
        trust_env=False,
    ) as client:
        yield HttpSession(client, deadline, access)


def _tls(access: WebAccess) -> ssl.SSLContext:
    """Return what TLS needs: the server is verified always, TLS 1.2 at least."""
    try:
        context = ssl.create_default_context(cafile=access.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if access.client_certificate is not None:
            # Without a password of its own, OpenSSL asks the terminal for that of an encrypted key.
            context.load_cert_chain(access.client_certificate, access.client_key, password=lambda: b"")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "strerror", None) or "not PEM"
        raise DestinationUnavailable(
            f"ca_file, client_certificate or client_key cannot be read ({reason}); correct the settings"
        ) from error
    return context


def _read(response: httpx.Response) -> Answer:
    """Return the answer; what is encoded though nobody asked for it is not unpacked."""
    body = bytearray()
    for part in response.iter_raw():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise DestinationSilent(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Answer(
        status=response.status_code,
        content_type="" if _is_encoded(response) else media_type,
        body=bytes(body),
    )


def _is_encoded(response: httpx.Response) -> bool:
    return bool(response.headers.get("Content-Encoding", "identity").strip().lower() != "identity")


def _status_text(status: int) -> str:
    try:
        return f"HTTP {status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _refuse_unavailable(answer: Answer) -> None:
    reason = NOT_TAKEN.get(answer.status, "")
    if answer.status < 200 or 300 <= answer.status < 400:
        reason = "it leads to another address, which is not followed; correct `url`"
    if answer.status in NOT_TOLD:
        raise DestinationSilent(f"{answer.text}: {NOT_TOLD[answer.status]}")
    if reason:
        raise DestinationUnavailable(f"{answer.text}: {reason}")


def _cause(error: Exception) -> str:
    """Return what happened in words of our own: a message of the other side may hold anything."""
    reasons: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message}); see `ca_file`"
        if isinstance(cause, OSError) and cause.strerror:
            reasons.append(cause.strerror)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpcore.TimeoutException):
        return "it took too long"
    return reasons[-1] if reasons else type(error).__name__
