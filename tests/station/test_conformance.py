"""The conformance statement against the running node: what it says is negotiated and answered happens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (
    ModalityWorklistInformationFind,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from node.app import build
from node.dimse.commitment import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from node.infer.bundle import Bundle
from tests.docs_reading import ROOT
from tests.screening_ground import phantom_series
from tests.station.app_ground import Place, install

ACCEPTED, NO_ABSTRACT_SYNTAX, NO_TRANSFER_SYNTAX = 0, 3, 4  # PS3.8 table 9-18
MORE_PEERS = """
[[peers]]
ae_title = "PACS"
addresses = ["127.0.0.1"]
rights = ["commitment"]

[[peers]]
ae_title = "ELSEWHERE"
addresses = ["192.0.2.1"]
"""


class Tables:
    """The tables of the document as it lies in the repository."""

    def __init__(self) -> None:
        self._text = (ROOT / "docs" / "reference" / "dicom.md").read_text(encoding="utf-8")

    def rows(self, heading: str) -> list[list[str]]:
        """Return the cells of the table under the first heading that begins so, without the code marks."""
        found = re.search(rf"^## {re.escape(heading)}.*?(?=^## |\Z)", self._text, re.MULTILINE | re.DOTALL)
        assert found is not None, heading
        lines = [line for line in found[0].splitlines() if line.startswith("|")][2:]
        return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.fixture(scope="module")
def tables() -> Tables:
    return Tables()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Iterator[Place]:
    """Return a node that runs."""
    made = install(tmp_path_factory.mktemp("node"), tiny_bundle)
    made.config.write_text(made.config.read_text() + MORE_PEERS)
    node = build(made.settings)
    node.start()
    yield made
    node.stop()


def associate(
    place: Place,
    contexts: list[PresentationContext],
    *,
    calling: str = "CT1",
    called: str = "GROUNDGLASS",
    **more,
) -> Association:
    """Ask the node for an association."""
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
    return entity.associate("127.0.0.1", place.port, contexts=contexts, ae_title=called, **more)


def results(place: Place, contexts: list[PresentationContext], **more) -> dict[tuple[str, str], int]:
    """Return the result of each context, by abstract syntax and the first transfer syntax proposed."""
    association = associate(place, contexts, **more)
    assert association.is_established
    proposed = {context.context_id: context for context in association.requestor.requested_contexts}
    found = {
        (
            str(proposed[item.context_id].abstract_syntax),
            str(proposed[item.context_id].transfer_syntax[0]),
        ): item.result
        for item in [*association.accepted_contexts, *association.rejected_contexts]
    }
    association.release()
    return found


def test_every_documented_class_is_accepted_and_no_other(place: Place, tables: Tables) -> None:
    classes = [row[1] for row in tables.rows("Storage SOP classes accepted")]
    assert len(classes) > 150
    for first in range(0, len(classes), 100):
        contexts = [build_context(uid, ExplicitVRLittleEndian) for uid in classes[first : first + 100]]
        assert set(results(place, contexts).values()) == {ACCEPTED}
    others = [ModalityWorklistInformationFind, StudyRootQueryRetrieveInformationModelMove, STORAGE_COMMITMENT]
    contexts = [build_context(uid, ExplicitVRLittleEndian) for uid in [*others, Verification]]
    found = results(place, contexts)
    assert found.pop((Verification, ExplicitVRLittleEndian)) == ACCEPTED
    assert set(found.values()) == {NO_ABSTRACT_SYNTAX}


def test_every_documented_transfer_syntax_is_accepted_in_its_order(place: Place, tables: Tables) -> None:
    syntaxes = [row[1] for row in tables.rows("Transfer syntaxes accepted")]
    assert len(syntaxes) > 20
    unsupported = ["1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.7.1", "1.2.3.4"]
    contexts = [build_context(CTImageStorage, uid) for uid in [*syntaxes, *unsupported]]
    found = results(place, contexts)
    assert {uid for (_, uid), result in found.items() if result == ACCEPTED} == set(syntaxes)
    assert {found[CTImageStorage, uid] for uid in unsupported} == {NO_TRANSFER_SYNTAX}
    for first, second in pairwise(syntaxes[:9]):
        association = associate(place, [build_context(CTImageStorage, [second, first])])
        assert [str(item.transfer_syntax[0]) for item in association.accepted_contexts] == [first]
        association.release()


def test_verification_is_answered(place: Place) -> None:
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        association = associate(place, [build_context(Verification, syntax)])
        assert association.send_c_echo().Status == 0x0000
        association.release()


def test_the_node_identifies_itself_as_documented(place: Place, tables: Tables) -> None:
    association = associate(place, [build_context(Verification)])
    acceptor = association.acceptor
    assert [acceptor.implementation_class_uid, acceptor.implementation_version_name] == tables.rows(
        "Implementation identification"
    )[0][1:]
    statement = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert f"| {acceptor.maximum_length} bytes (`max_pdu_bytes`)" in statement
    association.release()


@pytest.mark.parametrize(
    ("calling", "called", "rejection"),
    [
        ("STRANGER", "GROUNDGLASS", "1, 1, 3"),
        ("ELSEWHERE", "GROUNDGLASS", "1, 1, 3"),
        ("CT1", "SOMEBODY", "1, 1, 7"),
    ],
)
def test_callers_are_rejected_as_documented(
    place: Place, tables: Tables, calling: str, called: str, rejection: str
) -> None:
    association = associate(place, [build_context(Verification)], calling=calling, called=called)
    assert association.is_rejected
    answer = association.acceptor.primitive
    assert rejection == f"{answer.result}, {answer.result_source}, {answer.diagnostic}"
    assert rejection in [row[0] for row in tables.rows("Associations rejected")]


def test_stored_objects_are_answered_as_documented(place: Place, tables: Tables, tmp_path: Path) -> None:
    documented = {
        int(row[0].rstrip("H"), 16) for row in tables.rows("C-STORE statuses that the node answers")
    }
    good, other, nameless = phantom_series()[:3]
    other.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"  # MR in the data set, CT in the request
    del nameless.StudyInstanceUID
    association = associate(place, [build_context(CTImageStorage, ExplicitVRLittleEndian)])
    answers = []
    for number, data_set in enumerate((good, other, nameless)):
        path = tmp_path / f"{number}.dcm"
        data_set.preamble = bytes(128)
        data_set.save_as(path)
        answers.append(association.send_c_store(path).Status)
    assert answers == [0x0000, 0xA900, 0xC000]
    assert set(answers) <= documented
    association.release()


def test_reports_of_storage_commitment_are_taken_from_whom_may_give_them(
    place: Place, tables: Tables
) -> None:
    documented = {int(row[0].rstrip("H"), 16) for row in tables.rows("N-EVENT-REPORT statuses")}
    contexts = [build_context(STORAGE_COMMITMENT, ImplicitVRLittleEndian)]
    role = [build_role(STORAGE_COMMITMENT, scp_role=True)]
    stranger = associate(place, contexts, calling="CT1", ext_neg=list(role))
    assert [item.result for item in stranger.rejected_contexts] == [NO_ABSTRACT_SYNTAX]
    association = associate(place, contexts, calling="PACS", ext_neg=role)
    assert association.accepted_contexts[0].as_scp
    report = Dataset()
    report.TransactionUID = "2.25.1"
    status, _ = association.send_n_event_report(report, 1, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE)
    assert status.Status == 0x0115
    assert status.Status in documented
    status, _ = association.send_n_event_report(report, 7, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE)
    assert status.Status == 0x0113
    assert status.Status in documented
    association.release()
