"""From the settings to storage commitment, asked of others and by others."""

from __future__ import annotations

from node.dimse.commitment_session import CommitmentServices
from node.dimse.scu import Remote
from node.domain.commitment import Ground
from node.domain.errors import SettingsError
from node.domain.network import DicomDestination, Right
from node.domain.ports import Clock, UidSource
from node.outlets import call_timeouts
from node.receive.commitment import CommitmentReports
from node.receive.committing import Archive, Calling, Committing, Requester
from node.settings.commitment import RequesterSettings
from node.settings.settings import Settings
from node.store.store import Store

COMMITTING = "commitments"


def committing_of(settings: Settings, store: Store, *, clock: Clock, uids: UidSource) -> Committing | None:
    """Return what commits this node to keep what peers have stored; None where the settings want none.

    Raises
    ------
    SettingsError
        The destination that is to be asked is not there, or not of the kind ``dicom``.
    """
    wanted = settings.commitment
    if not wanted.enabled:
        return None
    return Committing(
        records=store.commitments,
        files=store.files,
        clock=clock,
        uids=uids,
        calling=Calling(ae_title=settings.node.ae_title, timeouts=call_timeouts(settings)),
        archive=_archive(settings) if wanted.ground is Ground.RELAY else None,
        requesters=[
            Requester(
                ae_title=item.ae_title,
                remote=_remote(item) if item.host else None,
                same_association=item.same_association,
            )
            for item in wanted.requesters
        ],
        waits=wanted.waits(),
    )


def commitment_services(
    settings: Settings, store: Store, *, clock: Clock, uids: UidSource
) -> CommitmentServices:
    """Return who takes part in storage commitment on associations that peers open.

    Raises
    ------
    SettingsError
    """
    reports = CommitmentReports(store.proofs, settings.destination_records(), store.commitments)
    return CommitmentServices(user=reports, provider=committing_of(settings, store, clock=clock, uids=uids))


def ground_of(settings: Settings) -> str:
    """Return on what ground this node commits itself, and for whom.

    Raises
    ------
    SettingsError
        It could commit itself to nothing, or nobody may ask.
    """
    askers = sorted({peer.ae_title for peer in settings.peer_records() if Right.COMMITMENT in peer.rights})
    if not askers:
        raise SettingsError("no peer has the right `commitment`; add it under [[peers]], or disable it")
    if settings.commitment.ground is Ground.KEEP:
        return f"{', '.join(askers)} may ask; what is committed is never removed from here"
    return f"{', '.join(askers)} may ask; {_archive(settings).remote} is asked in turn"


def _remote(item: RequesterSettings) -> Remote:
    return Remote(ae_title=item.ae_title, host=item.host, port=item.port, tls=item.tls_call())


def _archive(settings: Settings) -> Archive:
    name = settings.commitment.relay_to
    for destination in settings.destination_records():
        if destination.name == name and isinstance(destination, DicomDestination):
            return Archive(
                name=name,
                remote=Remote(
                    ae_title=destination.ae_title,
                    host=destination.host,
                    port=destination.port,
                    tls=destination.tls,
                ),
                report_seconds=settings.deliver.commitment_same_association_seconds,
            )
    raise SettingsError(f"commitment.relay_to: there is no destination {name!r} of kind dicom; name one")
