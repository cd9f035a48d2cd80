"""C-FIND: what is stored here, matched and written answer by answer (PS3.4 section C.4.1)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from node.dicom.elements import Attributes, Wanted
from node.dicom.part10 import scan
from node.dimse.admission import Caller
from node.dimse.queries import FindRequest, FoundMatch
from node.domain.errors import DicomError, ObjectMissing
from node.domain.ports import ObjectFiles
from node.domain.query import Level
from node.query.answer import AnswerWriter, Entity, Items, constants_of
from node.query.identifier import Key, Negotiated, Query, read_query
from node.store.found_objects import Candidate
from node.store.matching import MatchRecords

logger = logging.getLogger(__name__)

PATIENT_ROOT = tuple(Level)
STUDY_ROOT = (Level.STUDY, Level.SERIES, Level.IMAGE)
TIMEZONE = "TimezoneOffsetFromUTC"


class FindService:
    """Answers C-FIND requests. Implements ``QueryProvider``.

    Parameters
    ----------
    records : MatchRecords
        The index.
    files : ObjectFiles
        For attributes that the index does not have.
    ae_title : str
        Own AE title, from which what is found is retrieved.
    """

    def __init__(self, records: MatchRecords, files: ObjectFiles, *, ae_title: str) -> None:
        self._records = records
        self._files = files
        self._ae_title = ae_title

    def matches(self, request: FindRequest, *, caller: Caller) -> Iterator[Sequence[FoundMatch]]:
        """Yield what is found, a page at a time; an empty page shows that the search goes on.

        Raises
        ------
        QueryMalformed
            The identifier does not fit the SOP class.
        StoreError
            The index cannot be read now.
        """
        query = read_query(
            request.identifier,
            implicit=request.implicit,
            levels=PATIENT_ROOT if request.patient_root else STUDY_ROOT,
            negotiated=Negotiated(relational=request.relational, combined=request.combined),
        )
        logger.info("%s asks for matches at level %s", caller.calling_ae_title, query.level)
        writer = AnswerWriter(
            query.keys,
            constants=constants_of(query.level, self._ae_title),
            character_set=query.character_set,
            implicit=request.implicit,
        )
        read = [key for key in query.keys if key.attribute.from_object]
        wanted = frozenset({TIMEZONE, *(key.attribute.keyword for key in query.keys)})
        for page in self._records.find(query.level, query.narrowing, wanted):
            found = []
            for candidate in page:
                entity = self._completed(candidate, read)
                if is_match(query, entity):
                    found.append(FoundMatch(identifier=writer.write(entity), supported=query.supported))
            yield found

    def _completed(self, candidate: Candidate, read: Sequence[Key]) -> Entity:
        """Return a candidate with what only its object says."""
        if not read:
            return Entity(texts=candidate.values)
        try:
            with self._files.path(candidate.object_key).open("rb") as stream:
                attributes = scan(stream, _wanted(read)).attributes
        except (DicomError, ObjectMissing) as error:
            logger.error("attributes of an object are not found: %s", error)  # noqa: TRY400 - it says it all
            return Entity(texts=candidate.values)
        plain = {
            key.attribute.keyword: attributes.text(key.attribute.tag)
            for key in read
            if not key.attribute.items
        }
        sequences = {key.attribute.keyword: _items(attributes, key) for key in read if key.attribute.items}
        return Entity(texts={**candidate.values, **plain}, sequences=sequences)


def is_match(query: Query, entity: Entity) -> bool:
    """Whether an entity is one of those that a query asks for (PS3.4 section C.2.2.2)."""
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
