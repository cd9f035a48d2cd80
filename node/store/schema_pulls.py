"""The tables of what is fetched from other archives, and of what they say they hold."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from node.domain.archives import FetchState, PullCause, PullState
from node.store.columns import RemoteText, UtcDateTime, in_states, metadata, one_of, partial_index

# What is to be fetched: asked for by an operator, a query rule or an incomplete series.
pulls = Table(
    "pulls",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("archive", String, nullable=False),
    Column("cause", String, nullable=False),
    Column("poll", String, nullable=False, server_default=""),
    Column("sought", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("ended_at", UtcDateTime),
    Column("detail", Text, nullable=False, server_default=""),
    one_of("cause", PullCause),
    one_of("state", PullState),
    CheckConstraint("(ended_at IS NULL) = (state IN ('searching', 'fetching'))", name="ended_with_time"),
    partial_index("ix_pulls_searching", "archive", "due_at", where=in_states("state", PullState.SEARCHING)),
    partial_index("ix_pulls_ended", "ended_at", where="ended_at IS NOT NULL"),
)

# One series of a pull: it is fetched, and looked at again, until nothing of it is missing.
pull_series = Table(
    "pull_series",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pull_id", ForeignKey("pulls.id"), nullable=False),
    Column("archive", String, nullable=False),
    Column("study_instance_uid", String, nullable=False),
    Column("series_instance_uid", String, nullable=False),
    Column("modality", RemoteText, nullable=False),
    Column("state", String, nullable=False),
    Column("expected", Integer),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", UtcDateTime, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    one_of("state", FetchState),
    UniqueConstraint("pull_id", "series_instance_uid"),
    partial_index(
        "ix_pull_series_waiting", "archive", "due_at", where=in_states("state", FetchState.WAITING)
    ),
    Index("ix_pull_series_series_instance_uid", "series_instance_uid"),
)

# How many instances of a series that is being received an archive holds.
archive_counts = Table(
    "archive_counts",
    metadata,
    Column("series_instance_uid", String, primary_key=True),
    Column("archive", String, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("polls", Integer, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    CheckConstraint("count >= 0 AND polls >= 1", name="counted"),
    sqlite_with_rowid=False,
)

# Studies that a query rule has looked at: again only when they have grown. Of an archive that does not tell
# how many instances a study has, `counted` is how many its series were seen to have, since `grown_at`.
polled_studies = Table(
    "polled_studies",
    metadata,
    Column("poll", String, primary_key=True),
    Column("study_instance_uid", String, primary_key=True),
    Column("instance_count", Integer),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("counted", Integer),
    Column("grown_at", UtcDateTime),
    Index("ix_polled_studies_seen_at", "seen_at"),
    sqlite_with_rowid=False,
)

# How an archive answered last.
archive_contacts = Table(
    "archive_contacts",
    metadata,
    Column("archive", String, primary_key=True),
    Column("answered_at", UtcDateTime),
    Column("failures", Integer, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    Column("changed_at", UtcDateTime, nullable=False),
    CheckConstraint("failures >= 0", name="failures_not_negative"),
)
