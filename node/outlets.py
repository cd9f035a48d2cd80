"""From the settings to the senders: one for each kind of destination.

What only some kinds need is imported with the first of them: HTTP and the words of results take 30 MB, also
in processes that receive and send nothing.
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import partial

from node.deliver.dicom_sender import DicomSender
from node.deliver.folder_sender import FolderSender
from node.dimse.entity import Timeouts
from node.domain.errors import SettingsError
from node.domain.network import (
    Destination,
    DicomDestination,
    FolderDestination,
    StowDestination,
    WebhookDestination,
)
from node.domain.ports import Clock, Sender
from node.http.credentials import SecretReader
from node.settings.settings import Settings
from node.store.object_files import SPOOL


def call_timeouts(settings: Settings) -> Timeouts:
    """Return how long this node waits for a peer that it calls."""
    deliver = settings.deliver
    return Timeouts(connect=deliver.connect_seconds, acse=deliver.acse_seconds, dimse=deliver.dimse_seconds)


def longest_call(settings: Settings) -> timedelta:
    """Return how long a peer may keep this node waiting that connects, and then answers nothing."""
    deliver, limits = settings.deliver, call_timeouts(settings)
    waits = (limits.connect, limits.acse, limits.dimse, deliver.commitment_same_association_seconds)
    return timedelta(seconds=sum(waits))


def sender_to(destination: Destination, settings: Settings, clock: Clock) -> Sender:
    """Return the sender for one destination; secrets are read from this process's environment.

    Raises
    ------
    SettingsError
        There is none for its kind.
    """
    secrets = SecretReader(os.environ)
    spool = settings.node.data_dir / SPOOL
    scratch = spool if spool.is_dir() else None  # not before the node's first start
    match destination:
        case DicomDestination():
            return DicomSender(
                destination,
                calling_ae_title=settings.node.ae_title,
                timeouts=call_timeouts(settings),
                report_seconds=settings.deliver.commitment_same_association_seconds,
                scratch=scratch,
            )
        case StowDestination():
            from node.deliver.stow_sender import StowSender  # noqa: PLC0415 -- see the module's docstring

            return StowSender(destination, clock=clock, secrets=secrets, scratch=scratch)
        case FolderDestination():
            return FolderSender(destination)
        case WebhookDestination():
            from node.deliver.webhook_sender import WebhookSender  # noqa: PLC0415 -- as above
            from node.report.compact import message_about  # noqa: PLC0415 -- as above

            compose = partial(message_about, identifiers=destination.identifiers)
            return WebhookSender(destination, clock=clock, secrets=secrets, compose=compose)
        case _:
            raise SettingsError(f"destinations: {destination.name}: nothing sends to {destination.address}")
