"""From the settings to the senders: one for each kind of destination."""

from __future__ import annotations

from node.deliver.dicom_sender import DicomSender
from node.dimse.entity import Timeouts
from node.domain.errors import SettingsError
from node.domain.network import Destination, DicomDestination
from node.domain.ports import Clock, Sender
from node.settings.settings import Settings


def call_timeouts(settings: Settings) -> Timeouts:
    """Return how long this node waits for a peer that it calls."""
    deliver = settings.deliver
    return Timeouts(connect=deliver.connect_seconds, acse=deliver.acse_seconds, dimse=deliver.dimse_seconds)


def sender_to(destination: Destination, settings: Settings, clock: Clock) -> Sender:
    """Return the sender for one destination."""
    del clock
    match destination:
        case DicomDestination():
            return DicomSender(
                destination, calling_ae_title=settings.node.ae_title, timeouts=call_timeouts(settings)
            )
        case _:
            raise SettingsError(f"destinations: {destination.name}: nothing sends to {destination.address}")
