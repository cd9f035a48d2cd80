"""The answers to queries: candidates of the index, completed from their objects and matched."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from node.decide.queries import Entity, Items, Key, Query, Values, is_match
from node.dicom.elements import Attributes, Wanted
from node.dicom.part10 import scan
from node.domain.errors import DicomError, ObjectMissing
from node.domain.ports import ObjectFiles
from node.store.found_objects import Candidate
from node.store.matching import MatchRecords

logger = logging.getLogger(__name__)

TIMEZONE = "TimezoneOffsetFromUTC"


class Search:
    """Answers queries, whatever they came by.

    Parameters
    ----------
    records : MatchRecords
        The index.
    files : ObjectFiles
        For attributes that the index does not have.
    """

    def __init__(self, records: MatchRecords, files: ObjectFiles) -> None:
        self._records = records
        self._files = files

    def entities(self, query: Query) -> Iterator[list[Entity]]:
        """Yield what is found, a page at a time; an empty page shows that the search goes on.

        Raises
        ------
        StoreError
            The index cannot be read now.
        """
        read = [key for key in query.keys if key.attribute.from_object]
        wanted = frozenset({TIMEZONE, *(key.attribute.keyword for key in query.keys)})
        for page in self._records.find(query.level, query.narrowing, wanted):
            entities = [self._completed(candidate, read) for candidate in page]
            yield [entity for entity in entities if is_match(query, entity)]

    def _completed(self, candidate: Candidate, read: Sequence[Key]) -> Entity:
        """Return a candidate with what only its object says."""
        if not read:
            return Entity(texts=candidate.values)
        try:
            with self._files.path(candidate.object_key).open("rb") as stream:
                attributes = scan(stream, _wanted(read)).attributes
        except (DicomError, ObjectMissing, FileNotFoundError) as error:
            logger.error("attributes of an object are not found: %s", error)  # noqa: TRY400 - it says it all
            return Entity(texts=candidate.values)
        plain = {
            key.attribute.keyword: _one_or_several(attributes.texts(key.attribute.tag))
            for key in read
            if not key.attribute.items
        }
        sequences = {key.attribute.keyword: _items(attributes, key) for key in read if key.attribute.items}
        return Entity(texts={**candidate.values, **plain}, sequences=sequences)


def _one_or_several(values: tuple[str, ...]) -> Values:
    return values if len(values) > 1 else "".join(values)


def _wanted(read: Sequence[Key]) -> Wanted:
    inner = (item.attribute.tag for key in read for item in key.items)
    return Wanted(
        values=frozenset({*(key.attribute.tag for key in read), *inner}),
        sequences=frozenset(key.attribute.tag for key in read if key.attribute.items),
    )


def _items(attributes: Attributes, key: Key) -> Items:
    return [
        {inner.attribute.keyword: item.text(inner.attribute.tag) for inner in key.items}
        for item in attributes.items(key.attribute.tag)
    ]
