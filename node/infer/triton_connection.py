"""The calls of the inference protocol over gRPC, each with its deadline, and what their errors mean here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from tritonclient import grpc as triton
from tritonclient.utils import InferenceServerException

from node.domain.errors import EngineUnavailable, SettingsError
from node.infer.triton_options import TlsOptions, TokenOptions, TritonOptions

MAX_TOKEN_BYTES = 16_384
LARGEST_REQUEST = 2**31 - 1  # what the server allows
LARGEST_ANSWER = 64 << 20  # bytes; scores and maps of a batch are below one MiB
READY = "READY"
"""State of a version in the server's repository index."""
_TOKEN = re.compile(rb"[\x21-\x7e]+")  # a header value without blanks: RFC 9110 section 5.5

Answer = TypeVar("Answer")


class Code(StrEnum):
    """gRPC status codes that are told apart here; any other one is ``OTHER``."""

    UNAVAILABLE = "UNAVAILABLE"
    CANCELLED = "CANCELLED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    OTHER = "OTHER"


class CallFailed(EngineUnavailable):
    """A call was not answered, or answered with an error."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class Connection:
    """One channel to one server.

    Parameters
    ----------
    options : TritonOptions

    Raises
    ------
    SettingsError
        A certificate, key or token cannot be read.
    """

    def __init__(self, options: TritonOptions) -> None:
        self._options = options
        if options.token is not None:
            _credential(options.token)
        self._client = _client(
            options,
            [
                ("grpc.max_send_message_length", LARGEST_REQUEST),
                ("grpc.max_receive_message_length", LARGEST_ANSWER),
                ("grpc.enable_http_proxy", 0),  # images go to the server that was named, by no detour
                # A new channel must be a new connection: it is opened to find out what answers now.
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_retries", 0),  # repeating is decided where the answer's load is known
            ],
        )

    def is_live(self) -> bool:
        """Whether the server answers at all."""
        return bool(self._ask(self._client.is_server_live))

    def is_ready(self) -> bool:
        """Whether every network that it shall serve is loaded."""
        return bool(self._ask(self._client.is_server_ready))

    def has_model(self, name: str, version: int) -> bool:
        """Whether a version of a network is loaded."""
        return bool(self._ask(self._client.is_model_ready, name, str(version)))

    def server(self) -> Any:
        """Return the server's name, version and extensions."""
        return self._ask(self._client.get_server_metadata)

    def model(self, name: str, version: int) -> Any:
        """Return the names, types and shapes of a network's inputs and outputs."""
        return self._ask(self._client.get_model_metadata, name, str(version))

    def config(self, name: str, version: int) -> Any:
        """Return a network's configuration as the server runs it."""
        return self._ask(self._client.get_model_config, name, str(version)).config

    def successes(self, name: str, version: int) -> int:
        """Return how many requests were answered since this version was loaded; another load starts at 0."""
        found = self._ask(self._client.get_inference_statistics, name, str(version))
        return sum(int(item.inference_stats.success.count) for item in found.model_stats)

    def index(self) -> list[tuple[str, str, str]]:
        """Return every network of the server's repository: name, version, state; empty where unknown."""
        found = self._ask(self._client.get_model_repository_index)
        return [(item.name, item.version, item.state) for item in found.models]

    def load(self, name: str, *, seconds: float) -> None:
        """Let the server load a network, all versions that its configuration names, or load what has changed.

        Raises
        ------
        CallFailed
            It cannot, or not within so many seconds.
        """
        self._ask(self._client.load_model, name, seconds=seconds)

    def serve_only(self, name: str, versions: Collection[int], *, seconds: float) -> None:
        """Let the server serve some versions of a network that it serves, and drop the others.

        It runs the configuration that it has, ``version_policy`` alone replaced, until it starts again or the
        network is loaded after having been unloaded.

        Parameters
        ----------
        name : str
        versions : collection of int
            At least one; those that it has already stay as they are.
        seconds : float

        Raises
        ------
        CallFailed
            It cannot, not within so many seconds, or serves no version of the network.
        """
        served = self.served(name)
        if not served:
            raise CallFailed(Code.NOT_FOUND, f"the inference server serves no version of {name}")
        read = partial(self._client.get_model_config, as_json=True)
        config = self._ask(read, name, str(served[0]))["config"]
        config["version_policy"] = {"specific": {"versions": sorted(versions)}}
        self._ask(partial(self._client.load_model, config=json.dumps(config)), name, seconds=seconds)

    def served(self, name: str) -> list[int]:
        """Return the versions of a network that are ready, ascending."""
        return sorted(
            int(version) for found, version, state in self.index() if (found, state) == (name, READY)
        )

    def unload(self, name: str, *, seconds: float) -> None:
        """Let it drop a network; it does so once no request uses it.

        Raises
        ------
        CallFailed
        """
        self._ask(self._client.unload_model, name, seconds=seconds)

    def register(self, region: str, size: int) -> None:
        """Let the server map a region of shared memory of that name."""
        self._ask(self._client.register_system_shared_memory, region, f"/{region}", size)

    def unregister(self, region: str) -> None:
        """Let it go of a region; one that it does not know is no error."""
        self._ask(self._client.unregister_system_shared_memory, region)

    def infer(
        self,
        model: tuple[str, int],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        *,
        seconds: float,
        finished: Callable[[Any, CallFailed | None], None],
    ) -> None:
        """Send a request and go on.

        Parameters
        ----------
        model : (str, int)
            Name and version.
        inputs, outputs : sequences of InferInput and InferRequestedOutput
        seconds : float
            Deadline.
        finished : callable
            Takes the result or the error, in a thread of the channel. Always called, once, when this method
            returns; never when it raises.

        Raises
        ------
        CallFailed
            The channel is closed.
        """

        def callback(result: Any, error: InferenceServerException | None) -> None:
            finished(result, None if error is None else _failure(error))

        name, version = model
        self._guarded(
            self._client.async_infer,
            name,
            inputs,
            callback,
            model_version=str(version),
            outputs=outputs,
            client_timeout=seconds,
            headers=self._headers(),
        )

    def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        self._client.close()

    def _ask(self, action: Callable[..., Answer], *arguments: Any, seconds: float | None = None) -> Answer:
        limit = self._options.control_seconds if seconds is None else seconds
        return self._guarded(action, *arguments, headers=self._headers(), client_timeout=limit)

    def _guarded(self, action: Callable[..., Answer], *arguments: Any, **options: Any) -> Answer:
        try:
            return action(*arguments, **options)
        except InferenceServerException as error:
            raise _failure(error) from error
        except ValueError as error:  # how gRPC says that the channel was closed by another thread
            raise CallFailed(Code.CANCELLED, f"the connection is closed: {error}") from error

    def _headers(self) -> dict[str, str]:
        """Return the metadata of a call; a token that is just being replaced is looked for again later."""
        token = self._options.token
        try:
            return {} if token is None else {token.header: _credential(token)}
        except SettingsError as error:
            raise CallFailed(Code.UNAVAILABLE, str(error)) from error


def _client(options: TritonOptions, arguments: list[tuple[str, int]]) -> triton.InferenceServerClient:
    try:
        return triton.InferenceServerClient(options.url, **_tls(options.tls), channel_args=arguments)
    except OSError as error:
        raise SettingsError(f"infer.triton: a file of TLS cannot be read: {error}") from error


def _failure(error: InferenceServerException) -> CallFailed:
    status = str(error.status()).removeprefix("StatusCode.")
    code = Code(status) if status in {item.value for item in Code} else Code.OTHER
    return CallFailed(code, f"the inference server: {status}: {error.message()}")


def _tls(options: TlsOptions | None) -> dict[str, Any]:
    if options is None:
        return {}
    files = {
        "root_certificates": options.root_certificates,
        "certificate_chain": options.client_certificate,
        "private_key": options.client_key,
    }
    for name, path in files.items():
        if path is not None and not path.is_file():
            raise SettingsError(f"infer.triton: {path}: no such file for {name.replace('_', ' ')}")
    return {"ssl": True, **{name: str(path) for name, path in files.items() if path is not None}}


def _credential(options: TokenOptions) -> str:
    """Return the header's value; the token stands in no message."""
    try:
        with options.file.open("rb") as stream:
            token = stream.read(MAX_TOKEN_BYTES + 1).strip()
    except OSError as error:
        raise SettingsError(f"infer.triton.token_file: {error}") from error
    if len(token) > MAX_TOKEN_BYTES or not _TOKEN.fullmatch(token):
        raise SettingsError(f"infer.triton.token_file: {options.file} holds no token: one word of ASCII")
    return f"{options.scheme} {token.decode('ascii')}".strip()
