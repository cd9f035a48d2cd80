"""Statements of the hot path: built by SQLAlchemy, compiled once, run on the driver's own cursor.

Seven statements index an instance that arrives. Each costs SQLite a few microseconds, and SQLAlchemy ten
times as many to look its compiled form up, to bind its values and to wrap its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import Select
from sqlalchemy.types import TypeEngine

Processor = Callable[[Any], Any] | None
DIALECT = sqlite.dialect()  # the one that `database` opens


class Prepared:
    """A statement that is run for every arrival.

    Parameters
    ----------
    statement : Select or UpdateBase
    columns : sequence of str
        Columns of an insert without values of its own.
    """

    def __init__(
        self, statement: Select[Any] | UpdateBase, *, columns: tuple[str, ...] | None = None
    ) -> None:
        self._statement = statement
        self._columns = columns

    def rows(self, connection: Connection, values: Mapping[str, object]) -> list[dict[str, Any]]:
        """Run the statement within the connection's transaction; return its rows, by names of columns.

        Parameters
        ----------
        connection : sqlalchemy.Connection
            Of a transaction that has begun.
        values : mapping
            By the names of the statement's parameters.
        """
        text, parameters, defaults = self._compiled
        bound = [
            process(value) if process is not None else value
            for value, process in (
                (values[name] if name in values else defaults[name], process) for name, process in parameters
            )
        ]
        cursor = connection.connection.cursor()
        try:
            cursor.execute(text, bound)
            if cursor.description is None:
                return []
            return [self._row(cursor.description, found) for found in cursor.fetchall()]
        finally:
            cursor.close()

    def first(self, connection: Connection, values: Mapping[str, object]) -> dict[str, Any] | None:
        """Run the statement; return its first row, None where there is none."""
        return next(iter(self.rows(connection, values)), None)

    def _row(self, description: Any, found: tuple[Any, ...]) -> dict[str, Any]:
        row = {}
        for (name, *_), value in zip(description, found, strict=True):
            process = self._results[name]
            row[name] = value if process is None else process(value)
        return row

    @cached_property
    def _compiled(self) -> tuple[str, list[tuple[str, Processor]], Mapping[str, Any]]:
        compiled = self._statement.compile(dialect=DIALECT, column_keys=self._columns)
        names: list[str] = compiled.positiontup or []
        binds = compiled.binds
        parameters: list[tuple[str, Processor]] = [
            (name, _implementation(binds[name].type).bind_processor(DIALECT)) for name in names
        ]
        return str(compiled), parameters, compiled.params

    @cached_property
    def _results(self) -> dict[str, Processor]:
        return {
            column.name: _implementation(column.type).result_processor(DIALECT, None)
            for column in self._statement.exported_columns
        }


def _implementation(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.dialect_impl(DIALECT)
