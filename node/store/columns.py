"""Column types and checks shared by the tables of the schema."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, DateTime, Dialect, Index, MetaData, String, text
from sqlalchemy.types import TypeDecorator

from node.domain.errors import StoreError

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: aware outside; UTC without offset in the database, so text order is time order."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy passes it
        """Convert to UTC; a time without zone is refused, for nobody can say when it was."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise StoreError("a time without zone cannot be stored; pass aware datetimes")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy passes it
        """Attach UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


def clean_text(remote: str) -> str:
    """Return ``remote`` as every database takes it: NUL and lone surrogates become U+FFFD."""
    if "\x00" in remote:
        remote = remote.replace("\x00", "\ufffd")
    if remote.isascii():
        return remote
    return remote.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class RemoteText(TypeDecorator[str]):
    """Text that a peer sent: cleaned on its way in, on inserting and on comparing alike."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy passes it
        """Clean the text."""
        return None if value is None else clean_text(value)


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """Return the check that ``column`` holds a value of the enumeration, or NULL where it may."""
    listed = ", ".join(f"'{item.value}'" for item in values)
    return CheckConstraint(f'"{column}" IN ({listed})', name=f"{column}_known")


def in_states(column: str, *states: StrEnum) -> str:
    """Return the SQL condition of a partial index over some states."""
    listed = ", ".join(f"'{item.value}'" for item in states)
    return f"{column} IN ({listed})"


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Return an index over the rows that meet a condition, whatever the database."""
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))
