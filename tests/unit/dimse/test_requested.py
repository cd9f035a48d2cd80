"""A request for an association that comes again is not taken apart again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, build_context, build_role
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE

from node.dimse.contexts import STORAGE_SOP_CLASSES, supported_contexts
from node.dimse.requested import AssociationRequest, association_request
from node.domain.network import Right


def request(title: str = "VIEWER") -> bytes:
    """Return the PDU of a peer that gets CT images."""
    entity = AE(ae_title=title)
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = title, "NODE"
    (context,) = entity.requested_contexts
    context.context_id = 1
    primitive.presentation_context_definition_list = [context]
    primitive.user_information = [build_role(CTImageStorage, scp_role=True)]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count how often a PDU is decoded."""
    seen = []
    decode = AssociationRequest.decode
    monkeypatch.setattr(AssociationRequest, "decode", lambda self, pdu: seen.append(pdu) or decode(self, pdu))
    association_request.cache_clear()
    return lambda: len(seen)


def test_the_same_bytes_are_decoded_once(decoded: Callable[[], int]) -> None:
    first, second = (association_request(request()).to_primitive() for _ in range(2))
    other = association_request(request("OTHER")).to_primitive()
    assert decoded() == 2
    assert (first.calling_ae_title, other.calling_ae_title) == ("VIEWER", "OTHER")
    assert first.presentation_context_definition_list == second.presentation_context_definition_list
    assert first.user_information == second.user_information


def test_what_one_association_is_told_is_not_told_to_another() -> None:
    first, second = (association_request(request()).to_primitive() for _ in range(2))
    first.result = 0x01
    assert second.result is None


def test_malformed_bytes_are_malformed_each_time() -> None:
    for _ in range(2):
        with pytest.raises(AssertionError):
            association_request(request()[:90])


def test_a_supported_context_is_built_once_for_each_role() -> None:
    proposed = association_request(request()).to_primitive().presentation_context_definition_list
    rights = frozenset({Right.STORE, Right.RETRIEVE})

    def supported(*storing: str) -> object:
        (context,) = supported_contexts(proposed, rights, retrievals=True, storing=storing)
        return context

    assert supported(CTImageStorage) is supported(*STORAGE_SOP_CLASSES)
    assert supported() is not supported(CTImageStorage)
    assert (supported().scp_role, supported(CTImageStorage).scp_role) == (None, True)


def test_transfer_syntaxes_that_are_not_known_make_no_context_that_is_kept() -> None:
    rights = frozenset({Right.STORE})

    def supported(*more: str) -> object:
        proposed = [build_context(CTImageStorage, [ExplicitVRLittleEndian, *more])]
        (context,) = supported_contexts(proposed, rights, retrievals=False, storing=())
        return context

    assert supported(*(f"2.25.{number}" for number in range(100))) is supported()
