"""All tables together: everything that the node is told."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from node.domain.archives import Archive
from node.domain.network import Destination, ListenLimits, MoveDestination, Peer
from node.settings.codecs import CodecSettings
from node.settings.commitment import CommitmentSettings
from node.settings.destinations import DestinationSettings
from node.settings.infer import InferSettings
from node.settings.pull import ArchiveSettings, PollSettings, PullSettings
from node.settings.retention import RetentionSettings
from node.settings.tables import (
    AssembleSettings,
    DeliverSettings,
    HealthSettings,
    LimitSettings,
    MoveDestinationSettings,
    NodeSettings,
    PeerSettings,
    ReportSettings,
    SelectSettings,
)
from node.settings.tls import CalledOverTls, TlsSettings
from node.settings.upkeep import UpkeepSettings
from node.settings.web import WebSettings

ENV_PREFIX = "GROUNDGLASS_"
NESTED = "__"


class Settings(BaseSettings):
    """Everything that the node is told."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter=NESTED
    )

    node: NodeSettings = NodeSettings()
    tls: TlsSettings = TlsSettings()
    limits: LimitSettings = LimitSettings()
    peers: tuple[PeerSettings, ...] = ()
    destinations: tuple[DestinationSettings, ...] = ()
    move_destinations: tuple[MoveDestinationSettings, ...] = ()
    archives: tuple[ArchiveSettings, ...] = ()
    polls: tuple[PollSettings, ...] = ()
    deliver: DeliverSettings = DeliverSettings()
    assemble: AssembleSettings = AssembleSettings()
    select: SelectSettings = SelectSettings()
    codecs: CodecSettings = CodecSettings()
    infer: InferSettings = InferSettings()
    report: ReportSettings = ReportSettings()
    health: HealthSettings = HealthSettings()
    commitment: CommitmentSettings = CommitmentSettings()
    retention: RetentionSettings = RetentionSettings()
    upkeep: UpkeepSettings = UpkeepSettings()
    web: WebSettings = WebSettings()
    pull: PullSettings = PullSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing from the process by itself: ``loading.load`` names the sources."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for table, items in (
            ("destinations", self.destinations),
            ("archives", self.archives),
            ("polls", self.polls),
        ):
            names = [item.name for item in items]
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{table}: the name {name!r} stands twice; give each its own")
        known = [archive.name for archive in self.archives]
        for poll in self.polls:
            if poll.archive not in known:
                raise ValueError(
                    f"polls: {poll.name!r} names the archive {poll.archive!r}, which is none of `archives`"
                )
        return self

    @model_validator(mode="after")
    def _who_is_called_is_proven(self) -> Self:
        for table, items in (
            ("destinations", self.destinations),
            ("archives", self.archives),
            ("move_destinations", self.move_destinations),
            ("commitment.requesters", self.commitment.requesters),
        ):
            for place, item in enumerate(items):
                if isinstance(item, CalledOverTls) and item.takes_anybody(self.tls):
                    raise ValueError(
                        f"{table}[{place}]: check_host_name = false takes any certificate of any authority "
                        "that the system trusts; name in ca_file the authority of its certificate"
                    )
        return self

    def peer_records(self) -> tuple[Peer, ...]:
        """Return who may call."""
        return tuple(peer.record() for peer in self.peers)

    def move_destination_records(self) -> tuple[MoveDestination, ...]:
        """Return where stored objects may be sent by C-MOVE."""
        return tuple(destination.record() for destination in self.move_destinations)

    def destination_records(self) -> tuple[Destination, ...]:
        """Return where results may go."""
        return tuple(destination.record() for destination in self.destinations)

    def archive_records(self) -> tuple[Archive, ...]:
        """Return where studies are fetched from."""
        return tuple(archive.record() for archive in self.archives)

    def listen_limits(self) -> ListenLimits:
        """Return what a peer can make big, bounded."""
        return ListenLimits(
            max_associations=self.limits.max_associations,
            max_pdu=self.limits.max_pdu_bytes,
            max_object_bytes=self.limits.max_object_bytes,
            idle_seconds=self.limits.idle_seconds,
            acse_seconds=self.limits.acse_seconds,
            dimse_seconds=self.limits.dimse_seconds,
            prompt=self.limits.prompt_reactor,
        )
