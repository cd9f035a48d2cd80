"""C-FIND: what is stored here, matched and written answer by answer (PS3.4 section C.4.1)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from node.dimse.admission import Caller
from node.dimse.queries import FindRequest, FoundMatch
from node.domain.ports import ObjectFiles
from node.domain.query import Level
from node.query.answer import AnswerWriter, constants_of
from node.query.identifier import Negotiated, read_query
from node.store.matching import MatchRecords
from node.store.searching import Search

logger = logging.getLogger(__name__)

PATIENT_ROOT = tuple(Level)
STUDY_ROOT = (Level.STUDY, Level.SERIES, Level.IMAGE)


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
        self._search = Search(records, files)
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
        for page in self._search.entities(query):
            yield [FoundMatch(identifier=writer.write(entity), supported=query.supported) for entity in page]
