"""Inserting one row that gets a number."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, insert


def insert_row(connection: Connection, table: Table, **values: Any) -> int:
    """Insert a row and return its number."""
    made = connection.execute(insert(table).values(values).returning(table.c.id))
    return int(made.scalar_one())
