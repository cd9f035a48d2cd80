"""The table ``[commitment]`` of ``groundglass.toml``: what peers may have this node commit itself to."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from node.domain.commitment import CommitmentWaits, Ground
from node.settings.section import Seconds, Section
from node.settings.tables import AETitle, Port
from node.settings.tls import CalledOverTls, TlsSettings

DAY = 86400.0


class RequesterSettings(CalledOverTls):
    """A peer that asks for storage commitment, and where it takes the reports."""

    ae_title: AETitle = Field(description="AE title with which it asks.")
    host: str = Field("", description="Host name or IP address at which it takes reports; empty for none.")
    port: Port = Field(104, description="Port there.")
    same_association: bool = Field(
        False, description="Whether it waits for the report on the association on which it asks."
    )

    @model_validator(mode="after")
    def _can_be_told(self) -> Self:
        if not self.host and not self.same_association:
            raise ValueError("give the host at which it takes reports, or set same_association")
        return self


class CommitmentSettings(Section):
    """Storage commitment for peers with the right `commitment`; a success lets a scanner delete images."""

    enabled: bool = Field(False, description="Whether requests are answered at all.")
    ground: Ground = Field(
        Ground.RELAY,
        description="Why this node may commit itself to instances whose bytes it has verified: `relay`, the "
        "destination `relay_to` has done so when it was asked; `keep`, this node removes none of them ever.",
    )
    relay_to: str = Field("", description="Name of the destination of kind `dicom` that is asked.")
    requesters: tuple[RequesterSettings, ...] = Field(
        (), description="Who asks; a peer that is not listed is told on the association on which it asks."
    )
    look_seconds: Seconds = Field(2.0, description="Time between two looks at what is asked.")
    arrival_seconds: Seconds = Field(
        300.0, description="An instance that is asked about may come in so much later."
    )
    relay_seconds: Seconds = Field(
        DAY, description="Longest wait for the destination to commit itself; then the peer is told no."
    )
    report_seconds: Seconds = Field(
        7 * DAY, description="A peer that takes no report is called for this long."
    )

    @model_validator(mode="after")
    def _has_a_ground(self) -> Self:
        if self.enabled and self.ground is Ground.RELAY and not self.relay_to:
            raise ValueError("name in relay_to the destination that is asked, or set ground = 'keep'")
        return self

    def anchored(self, folder: Path) -> Self:
        """Return the settings with their relative paths starting at ``folder``."""
        return self.model_copy(
            update={"requesters": tuple(item.anchored(folder) for item in self.requesters)}
        )

    def completed(self, own: TlsSettings) -> Self:
        """Return the settings with what ``[tls]`` says of requesters where they say nothing."""
        return self.model_copy(update={"requesters": tuple(item.completed(own) for item in self.requesters)})

    def waits(self) -> CommitmentWaits:
        """Return the domain's record."""
        return CommitmentWaits(
            arrival=timedelta(seconds=self.arrival_seconds),
            relay=timedelta(seconds=self.relay_seconds),
            report=timedelta(seconds=self.report_seconds),
        )
