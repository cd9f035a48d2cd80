"""How the node reaches an inference server and how patient it is with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TlsOptions:
    """How the server proves who it is, and this node to it."""

    root_certificates: Path | None
    """PEM file of the authorities that are believed; None takes those that gRPC brings."""
    client_certificate: Path | None
    """PEM file of this node's certificate chain; None where the server asks for none."""
    client_key: Path | None
    """PEM file of its private key; given together with ``client_certificate``."""


@dataclass(frozen=True, kw_only=True)
class TokenOptions:
    """What this node says of itself with every call."""

    file: Path
    """Holds the token alone; read for every call, so that it may be replaced at any time."""
    header: str
    """Metadata key, lower case, as gRPC has them."""
    scheme: str
    """Word before the token; empty sends the token alone."""


@dataclass(frozen=True, kw_only=True)
class TritonOptions:
    """How the node reaches an inference server and how patient it is with it."""

    url: str
    """``host:port`` of the server's gRPC endpoint."""
    deadline_seconds: float
    """What a batch may take in all, its repetitions included."""
    control_seconds: float
    """What any other call may take: readiness, metadata, statistics."""
    attempts: int
    """How often a batch is sent at most; repeated only where the connection was lost."""
    in_flight: int
    """Batches at once."""
    shared_memory: bool
    """Whether batches and answers lie in memory that a server on the same host reads and writes."""
    breaker_failures: int
    """After so many failures in a row the server is left alone ..."""
    breaker_seconds: float
    """... for so long, until one batch probes it."""
    allow_old_server: bool
    """Whether a server older than the security fixes may answer."""
    tls: TlsOptions | None
    """None speaks plain text."""
    token: TokenOptions | None
    """None sends no token."""
