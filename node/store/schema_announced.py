"""The tables of what peers announce of instances, and of the storage commitment that they ask for."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    false,
)

from node.domain.announcement import Status
from node.domain.commitment import RequestState
from node.domain.expectation import Source
from node.store.columns import RemoteText, UtcDateTime, metadata, one_of

# A modality performed procedure step (PS3.4 section F.7) or an instance availability notification (annex R).
announcements = Table(
    "announcements",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("source", String, nullable=False),
    Column("sop_instance_uid", String, nullable=False, unique=True),
    Column("status", String, nullable=False),
    Column("calling_ae_title", RemoteText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    one_of("source", Source),
    one_of("status", Status),
    Index("ix_announcements_changed_at", "changed_at"),
)

announced_instances = Table(
    "announced_instances",
    metadata,
    Column("announcement_id", ForeignKey("announcements.id"), primary_key=True),
    Column("sop_instance_uid", String, primary_key=True),
    Column("series_instance_uid", String, nullable=False, index=True),
    sqlite_with_rowid=False,
)

# A request for storage commitment that a peer made of this node (PS3.4 annex J), until it is reported on.
commitment_requests = Table(
    "commitment_requests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("transaction_uid", String, nullable=False),
    Column("calling_ae_title", RemoteText, nullable=False),
    Column("state", String, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("detail", Text, nullable=False, server_default=""),
    Column("changed_at", UtcDateTime, nullable=False),
    one_of("state", RequestState),
    Index("uq_commitment_requests_asked", "calling_ae_title", "transaction_uid", unique=True),
    Index("ix_commitment_requests_state", "state", "due_at"),
    Index("ix_commitment_requests_changed_at", "changed_at"),
)

asked_instances = Table(
    "asked_instances",
    metadata,
    Column("request_id", ForeignKey("commitment_requests.id"), primary_key=True),
    Column("sop_instance_uid", String, primary_key=True, index=True),
    Column("sop_class_uid", String, nullable=False),
    # The object file whose bytes were read and found to be those of the index.
    Column("verified_key", String),
    # NULL while undecided, 0 for committed, else the Failure Reason (0008,1197).
    Column("outcome", Integer),
    # Whether it was committed to when the peer asked the same before.
    Column("promised", Boolean, nullable=False, server_default=false()),
    CheckConstraint(
        "outcome IS NULL OR outcome != 0 OR verified_key IS NOT NULL", name="committed_is_verified"
    ),
    sqlite_with_rowid=False,
)

# What an archive was asked for in its turn; written before it is asked.
commitment_relays = Table(
    "commitment_relays",
    metadata,
    Column("transaction_uid", String, primary_key=True),
    Column("request_id", ForeignKey("commitment_requests.id"), nullable=False, index=True),
    Column("destination", String, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("answered_at", UtcDateTime),
    sqlite_with_rowid=False,
)
