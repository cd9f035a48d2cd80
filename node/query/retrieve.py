"""C-GET and C-MOVE: which stored objects are meant, and where move destinations are (PS3.4 section C.4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from io import RawIOBase
from itertools import islice
from pathlib import Path

from node.decide.matching import Criterion
from node.dicom.codecs import Codecs
from node.dicom.transcode import Transcoder
from node.dimse.admission import Caller
from node.dimse.queries import Retrievable, RetrieveRequest
from node.dimse.retrieving import MOST_SUBOPERATIONS
from node.domain.errors import QueryMalformed
from node.domain.network import MoveDestination
from node.domain.ports import ObjectFiles
from node.domain.query import Level
from node.query.find import PATIENT_ROOT, STUDY_ROOT
from node.query.identifier import read_retrieval
from node.store.damage import DamageRecords
from node.store.found_objects import Candidate
from node.store.matching import MatchRecords

ISSUER = "IssuerOfPatientID"
WANTED = frozenset({"SOPClassUID", "SOPInstanceUID", "AvailableTransferSyntaxUID", "PatientID", ISSUER})


class RetrieveService:
    """Serves C-GET and C-MOVE requests. Implements ``RetrieveProvider``.

    Parameters
    ----------
    records : MatchRecords
        The index.
    files : ObjectFiles
        The stored objects.
    codecs : Codecs
        Decode and encode their pixels where a peer does not take them as stored.
    damage : DamageRecords
        Remembers files that are not as they were stored.
    destinations : iterable of MoveDestination
        Where objects may be sent; nobody can name another place.
    """

    def __init__(
        self,
        records: MatchRecords,
        files: ObjectFiles,
        codecs: Codecs,
        *,
        damage: DamageRecords,
        destinations: Iterable[MoveDestination],
    ) -> None:
        self.transcoder = Transcoder(codecs)
        self._records = records
        self._files = files
        self._damage = damage
        self._destinations = {item.ae_title: item for item in destinations}

    def instances(self, request: RetrieveRequest, *, caller: Caller) -> Sequence[Retrievable]:  # noqa: ARG002 - the port's signature
        """Return what a retrieval names: what a query at the same level finds.

        Of more instances than can be counted, one more than that is returned.

        Raises
        ------
        QueryMalformed
            The identifier does not fit the SOP class, or names several patients by one PatientID.
        StoreError
            The index cannot be read now.
        """
        criteria = read_retrieval(
            request.identifier,
            implicit=request.implicit,
            levels=PATIENT_ROOT if request.patient_root else STUDY_ROOT,
        )
        named = list(islice(self._named(criteria), MOST_SUBOPERATIONS + 1))
        _refuse_several_patients(criteria, named)
        return [
            Retrievable(
                sop_class_uid=str(candidate.values["SOPClassUID"]),
                sop_instance_uid=str(candidate.values["SOPInstanceUID"]),
                transfer_syntax_uid=str(candidate.values["AvailableTransferSyntaxUID"]),
                object_key=candidate.object_key,
                size=candidate.size,
            )
            for candidate in named
        ]

    def _named(self, criteria: Mapping[str, Criterion]) -> Iterator[Candidate]:
        for page in self._records.find(Level.IMAGE, criteria, WANTED | criteria.keys()):
            for candidate in page:
                if all(item.matches([str(candidate.values[keyword])]) for keyword, item in criteria.items()):
                    yield candidate

    def locate(self, item: Retrievable) -> Path:
        """Return the file of an instance, which has the size that it was stored with; else remember that.

        Raises
        ------
        ObjectMissing, ObjectDamaged
        """
        return self._damage.path(item.object_key, item.size)

    def scratch(self) -> AbstractContextManager[RawIOBase]:
        """Lend a file that is gone afterwards, on the disk of the stored objects.

        Raises
        ------
        StoreError
        """
        return self._files.scratch()

    def destination(self, ae_title: str) -> MoveDestination | None:
        """Return where a move destination is, None when none of this AE title is listed."""
        return self._destinations.get(ae_title)


def _refuse_several_patients(criteria: Mapping[str, Criterion], named: Sequence[Candidate]) -> None:
    """Refuse a retrieval of patients whose PatientID several issuers gave: nobody is sent by chance."""
    if "PatientID" not in criteria or not criteria.keys().isdisjoint({ISSUER, "StudyInstanceUID"}):
        return
    if len({(str(item.values["PatientID"]), str(item.values[ISSUER])) for item in named}) > len(
        {str(item.values["PatientID"]) for item in named}
    ):
        raise QueryMalformed("several patients have this PatientID; name IssuerOfPatientID, too")
