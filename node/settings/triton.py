"""The table ``[infer.triton]``: the inference server that answers when ``infer.engine`` is ``triton``."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from node.infer.triton_options import TlsOptions, TokenOptions, TritonOptions
from node.settings.section import Seconds, Section

LARGEST_PORT = 65535
FILES = ("root_certificates", "client_certificate", "client_key", "token_file")
"""Keys whose relative paths start at the settings file."""


def _endpoint(value: str) -> str:
    """Refuse what is not ``host:port``."""
    host, _, port = value.rpartition(":")
    if not host or "/" in value or not port.isdecimal() or not 1 <= int(port) <= LARGEST_PORT:
        raise ValueError(f"{value!r} is no endpoint; write host:port, for example '127.0.0.1:8001'")
    return value


Endpoint = Annotated[str, AfterValidator(_endpoint)]


class TritonSettings(Section):
    """The Triton Inference Server; used when `infer.engine` is `triton`."""

    url: Endpoint = Field("127.0.0.1:8001", description="`host:port` of its gRPC endpoint.")
    deadline_seconds: Seconds = Field(
        60.0, description="What a batch may take in all, its repetitions included; then the screening waits."
    )
    control_seconds: Seconds = Field(
        5.0, description="What any other call may take: readiness, metadata, statistics."
    )
    attempts: int = Field(
        3, ge=1, le=20, description="How often a batch is sent at most; again only after a lost connection."
    )
    in_flight: int = Field(2, ge=1, le=64, description="Batches at once; bounds the memory.")
    shared_memory: bool = Field(
        False,
        description="Hand batches over in shared memory; only for a server on the same host, which sees the "
        "same `/dev/shm`.",
    )
    breaker_failures: int = Field(
        3, ge=1, le=1000, description="After so many failures in a row the server is left alone ..."
    )
    breaker_seconds: Seconds = Field(30.0, description="... for so long, until one batch probes it.")
    require_acceptance: bool = Field(
        True,
        description="Screen only with model versions whose golden replay `groundglass models accept` has "
        "recorded of this server.",
    )
    allow_old_server: bool = Field(
        False,
        description="Accept a server older than 2.59.1, which lacks the fixes of CVE-2025-23319, -23320 and "
        "-23334; for development on loopback only.",
    )
    tls: bool = Field(False, description="Whether the connection is encrypted and the server authenticated.")
    root_certificates: Path | None = Field(
        None, description="PEM file of the authorities believed; by default those that gRPC brings."
    )
    client_certificate: Path | None = Field(
        None, description="PEM file of this node's certificate chain, where the server asks for one."
    )
    client_key: Path | None = Field(None, description="PEM file of its private key.")
    token_file: Path | None = Field(
        None, description="File that holds a token, sent with every call; it may be replaced at any time."
    )
    token_header: str = Field(
        "authorization", pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$", description="Metadata key of the token."
    )
    token_scheme: str = Field(
        "Bearer", pattern=r"^[A-Za-z0-9_-]{0,32}$", description="Word before the token; empty for none."
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        given = [name for name in FILES[:3] if getattr(self, name) is not None]
        if given and not self.tls:
            raise ValueError(f"{given[0]} is given without tls; set tls = true")
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key need each other; give both or none")
        if self.token_file is not None and not self.tls and not _on_loopback(self.url):
            raise ValueError("token_file without tls would send the token in clear; set tls = true")
        return self

    def anchored(self, folder: Path) -> TritonSettings:
        """Return the settings with their relative paths starting at ``folder``."""
        paths = {name: getattr(self, name) for name in FILES}
        return self.model_copy(
            update={name: folder / path for name, path in paths.items() if path is not None}
        )

    def record(self) -> TritonOptions:
        """Return what the client takes."""
        return TritonOptions(
            url=self.url,
            deadline_seconds=self.deadline_seconds,
            control_seconds=self.control_seconds,
            attempts=self.attempts,
            in_flight=self.in_flight,
            shared_memory=self.shared_memory,
            breaker_failures=self.breaker_failures,
            breaker_seconds=self.breaker_seconds,
            allow_old_server=self.allow_old_server,
            tls=self._tls() if self.tls else None,
            token=None if self.token_file is None else self._token(self.token_file),
        )

    def _tls(self) -> TlsOptions:
        return TlsOptions(
            root_certificates=self.root_certificates,
            client_certificate=self.client_certificate,
            client_key=self.client_key,
        )

    def _token(self, file: Path) -> TokenOptions:
        return TokenOptions(file=file, header=self.token_header, scheme=self.token_scheme)


def _on_loopback(url: str) -> bool:
    host = url.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
