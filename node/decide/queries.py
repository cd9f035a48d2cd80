"""What a query asks for, and which entities meet it (PS3.4 section C.2.2.2): for C-FIND and QIDO-RS alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from node.decide.matching import Criterion, DateTimes
from node.domain.query import Level, QueryAttribute

Values: TypeAlias = str | tuple[str, ...]
Items: TypeAlias = Sequence[Mapping[str, Values]]


@dataclass(frozen=True, kw_only=True)
class Key:
    """One attribute that is asked for."""

    attribute: QueryAttribute
    criterion: Criterion | None = None
    """None for universal matching, and for a sequence."""
    items: tuple[Key, ...] = ()
    """Keys within the item of a sequence."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is asked for."""

    level: Level
    keys: tuple[Key, ...]
    """In the order of their tags."""
    moments: tuple[DateTimes, ...] = ()
    """Ranges over a date and a time together."""
    narrowing: Mapping[str, Criterion]
    """What the index may go by, by keyword."""


@dataclass(frozen=True, kw_only=True)
class Entity:
    """One patient, study, series or instance."""

    texts: Mapping[str, Values]
    """By keyword; what is absent is empty."""
    sequences: Mapping[str, Items] = field(default_factory=dict)

    def several(self, keyword: str) -> tuple[str, ...]:
        """Return the values of an attribute, none where it is empty."""
        value = self.texts.get(keyword, "")
        if isinstance(value, str):
            return (value,) if value else ()
        return value


def is_match(query: Query, entity: Entity) -> bool:
    """Whether an entity is one of those that a query asks for."""
    return all(_meets(key, entity) for key in query.keys) and all(
        moment.matches(entity.several(moment.date), entity.several(moment.time)) for moment in query.moments
    )


def _meets(key: Key, entity: Entity) -> bool:
    if key.criterion is not None:
        return key.criterion.matches(entity.several(key.attribute.keyword))
    if all(item.criterion is None for item in key.items):
        return True
    items = entity.sequences.get(key.attribute.keyword, ())
    return any(all(_meets(inner, Entity(texts=item)) for inner in key.items) for item in items)
