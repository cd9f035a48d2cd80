"""The identifier of a query: bytes of a peer in, what is asked for out (PS3.4 section C.4.1.1.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from node.decide.matching import Criterion, OneOf, combined, criterion_of
from node.decide.queries import Key, Query
from node.dicom.elements import Attributes, Element, Encoding, Walk, Wanted
from node.dicom.stream import FileBytes, open_bytes
from node.domain.errors import DicomError, QueryMalformed
from node.domain.query import ATTRIBUTES, UNIQUE_KEYS, Level, QueryAttribute, answered_at

QUERY_RETRIEVE_LEVEL = 0x00080052
SPECIFIC_CHARACTER_SET = 0x00080005
NOT_KEYS = frozenset(
    {
        SPECIFIC_CHARACTER_SET,
        QUERY_RETRIEVE_LEVEL,
        0x00080054,  # RetrieveAETitle
        0x00080056,  # InstanceAvailability
        0x00080201,  # TimezoneOffsetFromUTC
    }
)
"""Elements that say something of the query or of its answer and are never matched (PS3.4 C.4.1.1.3)."""
COMBINED = (
    ("StudyDate", "StudyTime"),
    ("SeriesDate", "SeriesTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
)
"""Attributes whose ranges are one where that was negotiated (PS3.4 section C.2.2.2.5.4)."""

_KNOWN = {level: {attribute.tag: attribute for attribute in answered_at(level)} for level in Level}
_WITH_ITEMS = tuple(attribute for attribute in ATTRIBUTES if attribute.items)
_ELEMENTS = Wanted(
    values=frozenset(
        {
            *NOT_KEYS,
            *(attribute.tag for attribute in ATTRIBUTES),
            *(item.tag for attribute in _WITH_ITEMS for item in attribute.items),
        }
    ),
    sequences=frozenset(attribute.tag for attribute in _WITH_ITEMS),
    largest_value=1 << 20,
)


@dataclass(frozen=True, kw_only=True)
class FindQuery(Query):
    """What a C-FIND request asks for."""

    supported: bool
    """Whether every key is answered and matched as it was sent."""
    character_set: tuple[str, ...]
    """Defined terms of the identifier's SpecificCharacterSet."""


@dataclass(frozen=True, kw_only=True)
class Negotiated:
    """What was negotiated for queries of one SOP class (PS3.4 section C.5.1.1)."""

    relational: bool = False
    """Whether keys of the levels above may be left out."""
    combined: bool = False
    """Whether the ranges of a date and a time are one."""


def read_query(
    identifier: bytes, *, implicit: bool, levels: Sequence[Level], negotiated: Negotiated
) -> FindQuery:
    """Read the identifier of a C-FIND request.

    Parameters
    ----------
    identifier : bytes
        In little endian byte order.
    implicit : bool
        Whether the value representations are implicit.
    levels : sequence of Level
        Those of the information model, from the top.
    negotiated : Negotiated

    Raises
    ------
    QueryMalformed
    """
    data_set, tags = _elements(identifier, implicit=implicit)
    level = _level(data_set, levels)
    known = _KNOWN[level]
    keys = tuple(_key(data_set, known[tag]) for tag in sorted(tags & known.keys()))
    criteria = {key.attribute.keyword: key.criterion for key in keys if key.criterion is not None}
    if not negotiated.relational:
        _require_hierarchy(level, levels, criteria)
    unmatched = [key for key in keys if not key.attribute.matched and data_set.text(key.attribute.tag)]
    ranges = [combined(*pair, criteria) for pair in COMBINED] if negotiated.combined else []
    moments = tuple(moment for moment in ranges if moment is not None)
    hours = {moment.time for moment in moments}
    taken = {moment.date for moment in moments} | hours
    return FindQuery(
        level=level,
        keys=tuple(_without(key, taken) for key in keys),
        moments=moments,
        narrowing={keyword: item for keyword, item in criteria.items() if keyword not in hours},
        supported=not unmatched and not tags - known.keys() - NOT_KEYS,
        character_set=data_set.character_set.terms,
    )


def read_retrieval(identifier: bytes, *, implicit: bool, levels: Sequence[Level]) -> Mapping[str, Criterion]:
    """Read the identifier of a C-GET or C-MOVE request; return its unique keys (PS3.4 section C.4.2.1.4).

    An issuer is one of them where it is given: one PatientID may be that of two patients.

    Raises
    ------
    QueryMalformed
    """
    data_set, _ = _elements(identifier, implicit=implicit)
    level = _level(data_set, levels)
    unique = {"IssuerOfPatientID", *(UNIQUE_KEYS[item] for item in levels)}
    keys = [_key(data_set, attribute) for attribute in answered_at(level) if attribute.keyword in unique]
    criteria = {key.attribute.keyword: key.criterion for key in keys if key.criterion is not None}
    _require_hierarchy(level, levels, criteria)
    if not isinstance(criteria.get(UNIQUE_KEYS[level]), OneOf):
        raise QueryMalformed(f"{UNIQUE_KEYS[level]} must have a value at level {level}")
    return criteria


class _Identifier(Walk):
    """A walk that notes which elements there are."""

    def __init__(self, identifier: bytes, *, implicit: bool) -> None:
        encoding = Encoding(implicit=implicit, little_endian=True)
        super().__init__(FileBytes(open_bytes(identifier)), encoding, _ELEMENTS)
        self.tags: set[int] = set()

    def _element(self, tag: int, vr: str, length: int, encoding: Encoding, depth: int) -> Element | None:
        if depth == 0 and tag & 0xFFFF:  # a group length is no key
            self.tags.add(tag)
        return super()._element(tag, vr, length, encoding, depth)


def _elements(identifier: bytes, *, implicit: bool) -> tuple[Attributes, set[int]]:
    walk = _Identifier(identifier, implicit=implicit)
    try:
        return walk.run(), walk.tags
    except DicomError as error:
        raise QueryMalformed("the identifier is no data set") from error


def _level(data_set: Attributes, levels: Sequence[Level]) -> Level:
    text = data_set.text(QUERY_RETRIEVE_LEVEL)
    try:
        level = Level(text)
    except ValueError:
        raise QueryMalformed("QueryRetrieveLevel (0008,0052) is absent or unknown") from None
    if level not in levels:
        raise QueryMalformed(f"the information model has no level {level}")
    return level


def _key(data_set: Attributes, attribute: QueryAttribute) -> Key:
    if attribute.items:
        items = data_set.items(attribute.tag)
        if len(items) > 1:
            raise QueryMalformed(f"{attribute.keyword} has more than one item (PS3.4 C.2.2.2.6)")
        return Key(attribute=attribute, items=_items(items, attribute.items))
    if not attribute.matched:
        return Key(attribute=attribute)
    try:
        criterion = criterion_of(attribute.vr, _text(data_set, attribute))
    except QueryMalformed as error:
        raise QueryMalformed(f"{attribute.keyword}: {error}") from None
    return Key(attribute=attribute, criterion=criterion)


def _items(items: Sequence[Attributes], attributes: Iterable[QueryAttribute]) -> tuple[Key, ...]:
    """Return the keys within a sequence: every attribute of its items where it has none."""
    if not items:
        return tuple(Key(attribute=attribute) for attribute in attributes)
    return tuple(_key(items[0], attribute) for attribute in attributes if attribute.tag in items[0])


def _text(data_set: Attributes, attribute: QueryAttribute) -> str:
    if attribute.vr == "US":
        number = data_set.unsigned(attribute.tag)
        return "" if number is None else str(number)
    return data_set.text(attribute.tag)


def _require_hierarchy(level: Level, levels: Sequence[Level], criteria: Mapping[str, Criterion]) -> None:
    """Check that the unique key of every level above has one value (PS3.4 section C.4.1.2.1).

    Raises
    ------
    QueryMalformed
    """
    for above in levels[: levels.index(level)]:
        keyword = UNIQUE_KEYS[above]
        criterion = criteria.get(keyword)
        if not isinstance(criterion, OneOf) or len(criterion.values) != 1:
            raise QueryMalformed(f"{keyword} must have one value at level {level}")


def _without(key: Key, taken: set[str]) -> Key:
    """Return a key whose range is matched together with another one, without it."""
    return Key(attribute=key.attribute) if key.attribute.keyword in taken else key
