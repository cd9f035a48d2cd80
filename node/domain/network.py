"""Peers and destinations on the DICOM network, and the limits set on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from node.domain.model import ModelStatus
from node.domain.result import ResultKind

AE_TITLE_MAX_LENGTH = 16  # PS3.5 section 6.2, VR AE


class Right(StrEnum):
    """What a peer may do here."""

    STORE = "store"
    ECHO = "echo"
    COMMITMENT = "commitment"
    """Report what became of a storage commitment that this node asked for, and ask this node for one."""
    PROCEDURE_STEPS = "procedure-steps"
    """Tell which procedure steps it performs, and what they made."""
    AVAILABILITY = "availability"
    """Tell which instances are available elsewhere."""
    QUERY = "query"
    """Ask what is stored here."""
    RETRIEVE = "retrieve"
    """Get what is stored here, or have it sent to a move destination."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """An application entity that may call this node."""

    ae_title: str
    """Calling AE title."""
    addresses: tuple[str, ...]
    """IP addresses or networks (CIDR) it calls from; empty means none."""
    rights: frozenset[Right]
    authority: bool = False
    """Its corrections of patient and study attributes are confirmed without an operator."""
    tls: bool = False
    """It may call over TLS alone."""
    certificates: frozenset[str] = frozenset()
    """By one of these names its certificate must be known: ``sha256:``, ``cn:`` or ``dns:`` and the value;
    none: by any that is trusted."""


@dataclass(frozen=True, kw_only=True)
class TlsListen:
    """How this node listens over TLS (PS3.15 B.12)."""

    port: int
    certificate: Path
    """PEM, with the certificates between it and the authority."""
    key: Path
    ca_file: Path | None
    """Authorities that may sign the certificates of clients, PEM; None: they show none."""
    require_client_certificate: bool
    """Not without ``ca_file``."""


@dataclass(frozen=True, kw_only=True)
class TlsCall:
    """How this node calls an application entity over TLS."""

    ca_file: Path | None = None
    """Authorities that may sign its certificate, PEM; None: those of the system."""
    client_certificate: Path | None = None
    """PEM; with ``client_key``."""
    client_key: Path | None = None
    check_host_name: bool = True
    """Whether its certificate must be one for the host that is called."""


@dataclass(frozen=True, kw_only=True)
class MoveDestination:
    """An application entity to which stored objects may be sent by C-MOVE."""

    ae_title: str
    host: str
    port: int
    tls: TlsCall | None = None
    """None: without TLS."""


@dataclass(frozen=True, kw_only=True)
class RefusedCaller:
    """A caller that was not let in; shown to the operator with the line that would admit it."""

    calling_ae_title: str
    address: str
    reason: str
    attempts: int
    last_at: datetime


class Proof(StrEnum):
    """How a destination shows that it has what it accepted."""

    AUTO = "auto"
    """By storage commitment where it is offered, else by finding the objects there."""
    COMMITMENT = "commitment"
    FIND = "find"
    NONE = "none"
    """Not at all: what it accepted stays `sent`."""


@dataclass(frozen=True, kw_only=True)
class Destination(ABC):
    """Who takes results."""

    name: str
    """Name in the settings."""
    accept_demonstration: bool
    """Whether results of a model whose card says demonstration or untrained may be sent there."""
    kinds: frozenset[ResultKind] = frozenset(ResultKind)
    """What is sent there."""

    def accepts(self, status: ModelStatus) -> bool:
        """Whether results of a model with this status may be sent there."""
        return status is ModelStatus.VALIDATED or self.accept_demonstration

    @property
    @abstractmethod
    def address(self) -> str:
        """Return where it is, for lists and messages."""


@dataclass(frozen=True, kw_only=True)
class DicomDestination(Destination):
    """An application entity that takes results by C-STORE."""

    ae_title: str
    host: str
    port: int
    proof: Proof = Proof.AUTO
    tls: TlsCall | None = None
    """None: without TLS."""

    @property
    def address(self) -> str:
        """Return AE title, host and port."""
        return f"{self.ae_title}@{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class SecretSource:
    """Where a secret is read at each use: no record holds one, and a new one needs no restart."""

    variable: str = ""
    """Name of an environment variable; empty where it is a file."""
    file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class WebAccess:
    """An HTTP service and how it is called."""

    url: str
    """Without a slash at its end, user, query or fragment."""
    ca_file: Path | None = None
    """Authorities that may sign the server's certificate, PEM; None: those of the system."""
    client_certificate: Path | None = None
    """PEM; with ``client_key``."""
    client_key: Path | None = None
    token: SecretSource | None = None
    """Bearer token (RFC 6750)."""
    user: str = ""
    """Of basic authentication (RFC 7617); empty for none."""
    password: SecretSource | None = None
    connect_seconds: float
    """Longest wait for the connection, and for each part of an answer."""
    request_seconds: float
    """Longest time that a request with its whole answer may take."""


@dataclass(frozen=True, kw_only=True)
class StowDestination(Destination):
    """A DICOMweb server that takes results by STOW-RS (PS3.18 section 10.5)."""

    access: WebAccess
    """``url`` is the base of the service, for example ``https://pacs.example/dicom-web``."""
    proof: Proof = Proof.AUTO

    @property
    def address(self) -> str:
        """Return the base URL."""
        return self.access.url


@dataclass(frozen=True, kw_only=True)
class FolderDestination(Destination):
    """A folder that takes results as files."""

    folder: Path
    group_readable: bool = False
    """Whether the group of the files may read them, whatever the node's umask is."""

    @property
    def address(self) -> str:
        """Return the folder."""
        return str(self.folder)


@dataclass(frozen=True, kw_only=True)
class WebhookDestination(Destination):
    """A web service that takes a short form of each report, signed."""

    access: WebAccess
    """``url`` is called as it is."""
    secret: SecretSource
    """Key of the signature."""
    identifiers: bool
    """Whether PatientID and AccessionNumber stand in the message."""

    @property
    def address(self) -> str:
        """Return scheme and host alone: the path of such an address may be a secret."""
        parts = urlsplit(self.access.url)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, kw_only=True)
class ListenLimits:
    """What a peer can make big, bounded."""

    max_associations: int
    max_pdu: int
    """Bytes of one P-DATA-TF PDU that this node accepts (PS3.8 D.1)."""
    max_object_bytes: int
    """Bytes of one SOP instance."""
    idle_seconds: float
    """Without any PDU for this long, the association is aborted."""
    acse_seconds: float
    dimse_seconds: float
    prompt: bool = True
    """Whether associations wait for what happens; otherwise on the library's reactors, which look for it."""


@dataclass(frozen=True, kw_only=True)
class QuietTimes:
    """How long silence must last before it means something."""

    geometry: timedelta
    """With gap-free geometry, lungs closed at both ends and a normal release."""
    plain: timedelta
    """Otherwise."""
    study: timedelta
    """Before a study settles."""
    cap: timedelta
    """After which a series that is still open counts as incomplete."""
    gap_multiple: float
    """Quiet times rise to this many times the sender's 99th percentile gap ..."""
    floor: timedelta
    """... but not below this ..."""
    ceiling: timedelta
    """... and not above this."""


class CapPolicy(StrEnum):
    """What to do with a study whose chosen series is incomplete."""

    SKIP_AND_NOTIFY = "skip-and-notify"
    RUN_AND_FLAG = "run-and-flag"


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """When a failed delivery is tried again."""

    first: timedelta
    factor: float
    longest: timedelta
    jitter: float
    """Share of the delay that is random, 0..1."""
    max_attempts: int
    """After which the delivery waits for an operator."""
