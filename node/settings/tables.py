"""The tables of ``groundglass.toml``: every key with its default, its unit in its name, and its description.

The settings reference of the documentation is generated from here.
"""

from __future__ import annotations

import ipaddress
import zoneinfo
from datetime import timedelta, tzinfo
from pathlib import Path
from typing import Annotated, Literal, Self

import tzlocal
from pydantic import AfterValidator, Field, field_validator, model_validator

from node.domain.breaker import Patience
from node.domain.delivery import ProofWaits
from node.domain.network import (
    AE_TITLE_MAX_LENGTH,
    Backoff,
    CapPolicy,
    MoveDestination,
    Peer,
    QuietTimes,
    Right,
)
from node.settings.section import Seconds, Section
from node.settings.tls import CalledOverTls, CertificateName

MEBIBYTE = 1024 * 1024


def _ae_title(value: str) -> str:
    """Refuse what VR AE does not allow (PS3.5 section 6.2)."""
    text = value.strip(" ")
    allowed = all(" " <= character <= "~" and character != "\\" for character in text)
    if not text or len(text) > AE_TITLE_MAX_LENGTH or not allowed:
        raise ValueError(
            f"{value!r} is not an AE title: 1 to {AE_TITLE_MAX_LENGTH} ASCII characters, no backslash"
        )
    return text


def _address(value: str) -> str:
    """Refuse what is neither an IP address nor a network."""
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(
            f"{value!r} is not an IP address or network; write for example '10.0.0.5' or '10.0.0.0/24'"
        ) from None
    return value


def _time_zone(value: str) -> str:
    """Refuse what is not in the IANA time zone database."""
    if value not in zoneinfo.available_timezones():
        raise ValueError(f"{value!r} is no time zone; write an IANA name, for example 'Europe/Berlin'")
    return value


TimeZone = Annotated[str, AfterValidator(_time_zone)]
AETitle = Annotated[str, AfterValidator(_ae_title)]
Address = Annotated[str, AfterValidator(_address)]
Port = Annotated[int, Field(ge=1, le=65535)]
ListenPort = Annotated[int, Field(ge=0, le=65535)]


class NodeSettings(Section):
    """The node on the network and on the disk."""

    ae_title: AETitle = Field("GROUNDGLASS", description="AE title of this node.")
    host: str = Field("0.0.0.0", description="Address on which it listens.")  # noqa: S104  # peers are listed
    port: ListenPort = Field(11112, description="Port on which it listens; 0 takes a free one.")
    data_dir: Path = Field(
        Path("groundglass-data"),
        description="Folder of the index and of the objects; a relative path starts at the settings file.",
    )
    database_url: str | None = Field(
        None, description="SQLAlchemy URL of the index; by default SQLite within `data_dir`."
    )
    time_zone: TimeZone | None = Field(
        None,
        description="IANA name of the zone in which results state their times where the images name none; "
        "by default the machine's.",
    )

    def zone(self) -> tzinfo:
        """Return the hospital's time zone."""
        return tzlocal.get_localzone() if self.time_zone is None else zoneinfo.ZoneInfo(self.time_zone)


class LimitSettings(Section):
    """What a peer can make big, bounded."""

    max_associations: int = Field(16, ge=1, le=1000, description="Associations open at the same time.")
    max_pdu_bytes: int = Field(
        128 * 1024, ge=4096, le=16 * MEBIBYTE, description="Largest PDU that this node accepts (PS3.8 D.1)."
    )
    max_object_bytes: int = Field(
        2048 * MEBIBYTE, ge=MEBIBYTE, description="Largest SOP instance; a larger one is answered A700H."
    )
    idle_seconds: Seconds = Field(
        300.0, description="Without any PDU for this long an association is aborted."
    )
    acse_seconds: Seconds = Field(30.0, description="Longest wait for an answer of association control.")
    dimse_seconds: Seconds = Field(60.0, description="Longest wait for the next DIMSE message part.")
    prompt_reactor: bool = Field(
        True,
        description="Associations wait for what happens; false: they run on pynetdicom's own reactors, which "
        "look for it a thousand times a second.",
    )
    receiving_processes: int = Field(
        1,
        ge=1,
        le=16,
        description="Processes that run associations, of some 100 MiB each; 1: the node's own process does.",
    )


class PeerSettings(Section):
    """An application entity that may call this node."""

    ae_title: AETitle = Field(description="Calling AE title.")
    addresses: tuple[Address, ...] = Field(
        min_length=1, description="IP addresses or networks (CIDR) from which it calls."
    )
    rights: frozenset[Right] = Field(
        frozenset({Right.STORE, Right.ECHO}), min_length=1, description="What it may do here."
    )
    authority: bool = Field(
        False, description="Its corrections of patient and study attributes need no operator's confirmation."
    )
    tls: bool = Field(False, description="It may call over TLS alone.")
    certificates: tuple[CertificateName, ...] = Field(
        (),
        description="It may call over TLS alone, and its certificate must be known by one of these: "
        "`sha256:` and the digest of the certificate, `cn:` and the common name of its subject, `dns:` and "
        "a DNS name.",
    )

    @field_validator("certificates")
    @classmethod
    def _binds(cls, value: tuple[CertificateName, ...]) -> tuple[CertificateName, ...]:
        """Refuse a list from which the last name was taken: its AE title would be bound to nothing."""
        if not value:
            raise ValueError(
                "names no certificate, so that it might call without one; name one, leave the key out, or "
                "remove the peer"
            )
        return value

    def record(self) -> Peer:
        """Return the domain's record."""
        return Peer(
            ae_title=self.ae_title,
            addresses=self.addresses,
            rights=self.rights,
            authority=self.authority,
            tls=self.tls or bool(self.certificates),
            certificates=frozenset(self.certificates),
        )


class MoveDestinationSettings(CalledOverTls):
    """An application entity to which peers with the right `retrieve` may have objects sent by C-MOVE."""

    ae_title: AETitle = Field(description="AE title, by which C-MOVE names it.")
    host: str = Field(min_length=1, description="Host name or IP address.")
    port: Port = Field(description="Port.")

    def record(self) -> MoveDestination:
        """Return the domain's record."""
        return MoveDestination(ae_title=self.ae_title, host=self.host, port=self.port, tls=self.tls_call())


class DeliverSettings(Section):
    """How results leave."""

    mode: Literal["silent"] = Field(
        "silent",
        description="Everything runs and nothing leaves until `groundglass go-live DESTINATION` opens a "
        "destination; no setting opens one.",
    )
    courier_seconds: Seconds = Field(2.0, description="Time between two looks into the outbox.")
    first_retry_seconds: Seconds = Field(10.0, description="Delay after the first failed attempt.")
    retry_factor: float = Field(2.0, ge=1, le=10, description="The delay grows by this factor each time.")
    longest_retry_seconds: Seconds = Field(1800.0, description="The delay grows no further than this.")
    retry_jitter: float = Field(0.2, ge=0, le=1, description="Share of the delay that is random.")
    max_attempts: int = Field(
        50, ge=1, le=10_000, description="After so many attempts a delivery waits for an operator."
    )
    commitment_wait_seconds: Seconds = Field(
        600.0,
        description="What was accepted and not proven is asked about again after this long, then after twice "
        "as long, up to a day.",
    )
    commitment_same_association_seconds: Seconds = Field(
        2.0,
        description="Longest wait for a report of storage commitment on the association of its request; "
        "later a destination reports on one that it opens itself.",
    )
    proof_grace_seconds: Seconds = Field(
        120.0,
        description="A destination may index what it accepted this much later: until then, that it does not "
        "find an object there is no answer.",
    )
    unreachable_failures: int = Field(
        3, ge=1, le=1000, description="A destination that failed so often in a row is left alone ..."
    )
    unreachable_pause_seconds: Seconds = Field(
        30.0, description="... for this long, and by `retry_factor` longer after each further failure ..."
    )
    longest_unreachable_pause_seconds: Seconds = Field(300.0, description="... up to this.")
    connect_seconds: Seconds = Field(10.0, description="Longest wait for the TCP connection.")
    acse_seconds: Seconds = Field(30.0, description="Longest wait for an answer of association control.")
    dimse_seconds: Seconds = Field(60.0, description="Longest wait for a C-STORE response.")

    def backoff(self) -> Backoff:
        """Return the domain's record."""
        return Backoff(
            first=timedelta(seconds=self.first_retry_seconds),
            factor=self.retry_factor,
            longest=timedelta(seconds=self.longest_retry_seconds),
            jitter=self.retry_jitter,
            max_attempts=self.max_attempts,
        )

    def patience(self) -> Patience:
        """Return when a destination that cannot be reached is left alone."""
        return Patience(
            failures=self.unreachable_failures,
            first=timedelta(seconds=self.unreachable_pause_seconds),
            factor=self.retry_factor,
            longest=timedelta(seconds=self.longest_unreachable_pause_seconds),
            jitter=self.retry_jitter,
        )

    def proof_waits(self) -> ProofWaits:
        """Return how long a destination may take to show that it has what it accepted."""
        return ProofWaits(
            answer=timedelta(seconds=self.commitment_wait_seconds),
            grace=timedelta(seconds=self.proof_grace_seconds),
        )


class AssembleSettings(Section):
    """When a series counts as complete and a study as settled."""

    sweep_seconds: Seconds = Field(5.0, description="Time between two looks at what is being received.")
    geometry_quiet_seconds: Seconds = Field(
        30.0,
        description="Silence after which a series is complete whose positions show no gap or duplicate, "
        "whose lungs close at both ends and whose association was released normally.",
    )
    plain_quiet_seconds: Seconds = Field(
        120.0, description="Silence after which any other series with a released association is complete."
    )
    study_quiet_seconds: Seconds = Field(120.0, description="Silence after which a study settles.")
    cap_seconds: Seconds = Field(1800.0, description="A series open for this long is taken as incomplete.")
    gap_multiple: float = Field(
        3.0,
        ge=0,
        le=100,
        description="Quiet times rise to this many times the sender's 99th percentile gap ...",
    )
    floor_seconds: Seconds = Field(30.0, description="... but are never shorter than this ...")
    ceiling_seconds: Seconds = Field(300.0, description="... and never longer than this.")
    cap_policy: CapPolicy = Field(
        CapPolicy.SKIP_AND_NOTIFY,
        description="A study whose best series is incomplete: `skip-and-notify` or `run-and-flag`.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.floor_seconds > self.ceiling_seconds:
            raise ValueError("floor_seconds is above ceiling_seconds; lower it")
        return self

    def quiet_times(self) -> QuietTimes:
        """Return the domain's record."""
        return QuietTimes(
            geometry=timedelta(seconds=self.geometry_quiet_seconds),
            plain=timedelta(seconds=self.plain_quiet_seconds),
            study=timedelta(seconds=self.study_quiet_seconds),
            cap=timedelta(seconds=self.cap_seconds),
            gap_multiple=self.gap_multiple,
            floor=timedelta(seconds=self.floor_seconds),
            ceiling=timedelta(seconds=self.ceiling_seconds),
        )


class SelectSettings(Section):
    """Which series may be screened."""

    minimum_slices: int | None = Field(
        None, ge=1, le=10_000, description="Fewest slices of a series; by default what the model asks for."
    )
    accept_unknown_age: bool = Field(
        True,
        description="Whether a patient whose age the images do not tell is analysed, with a warning, or is "
        "out of the model's scope.",
    )


class ReportSettings(Section):
    """What the result objects say of this node."""

    max_heatmaps: int = Field(10, ge=0, le=200, description="Most heatmaps of one study, strongest first.")
    parametric_map: bool = Field(
        True, description="Whether the maps under the heatmaps are made as data (Parametric Map), too."
    )
    parametric_map_series_bytes: int = Field(
        512 * MEBIBYTE,
        ge=0,
        le=1000 * MEBIBYTE,
        description="A map whose pixels take no more than this, not deflated, has frames of padding on the "
        "slices of the series that have no values; viewers as OHIF show no other. Less where a destination "
        "that takes no deflated data sets has little room. 0: a map has frames with values alone.",
    )
    summary: bool = Field(
        True,
        description="Whether a contact sheet is made: the scores along the body, the strongest slices.",
    )
    key_objects: bool = Field(
        True, description="Whether positive slices are marked by a Key Object Selection."
    )
    language: str = Field(
        "en",
        min_length=2,
        max_length=35,
        description="Language of the results, by RFC 5646; there is a file of its wording for each.",
    )
    manufacturer: str = Field(
        "Groundglass", min_length=1, max_length=64, description="Manufacturer (0008,0070)."
    )
    serial_number: str = Field(
        "1", min_length=1, max_length=64, description="Device Serial Number (0018,1000)."
    )


class HealthSettings(Section):
    """The HTTP endpoint with `/healthz` and `/metrics`."""

    enabled: bool = Field(True, description="Whether it is there.")
    host: str = Field("127.0.0.1", description="Address; keep it on loopback unless a proxy guards it.")
    port: ListenPort = Field(8042, description="Port; 0 takes a free one.")
    least_free_bytes: int = Field(
        1024 * MEBIBYTE,
        ge=0,
        description="`/healthz` answers 503 with less free space than this in `data_dir`.",
    )
