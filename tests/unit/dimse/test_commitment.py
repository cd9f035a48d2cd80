"""Messages of storage commitment, without a network."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom.dsutils import encode
from pynetdicom.presentation import build_context, negotiate_as_acceptor

from node.dicom.elements import Attributes
from node.dimse.commitment import (
    ALL_COMMITTED,
    MAX_REFERENCES,
    SOME_FAILED,
    STORAGE_COMMITMENT,
    CommitmentReport,
    CommitmentRequest,
    FailedInstance,
    FailureReason,
    ReferencedInstance,
    event_type,
    read_report,
    read_request,
    report_data_set,
    request_data_set,
)
from node.dimse.contexts import CONVERTIBLE, commitment_context, supported_contexts
from node.dimse.listing import attributes_of
from node.dimse.messages import BoundedBuffer
from node.dimse.status import query_meaning_of, request_meaning_of
from node.domain.errors import CommitmentMalformed
from node.domain.identity import derived_uid
from node.domain.network import Right

references = st.builds(
    ReferencedInstance,
    sop_class_uid=st.just(str(CTImageStorage)),
    sop_instance_uid=st.integers(0, 40).map(lambda number: derived_uid("test", str(number))),
)
transactions = st.integers(0, 2**64).map(lambda number: f"2.25.{number}")
distinct = st.lists(references, unique_by=lambda item: item.sop_instance_uid, max_size=20)


def sent(data_set: Dataset, implicit: bool = True) -> Attributes:
    encoded = encode(data_set, implicit, True)
    assert encoded is not None
    return attributes_of(encoded, implicit=implicit)


@settings(max_examples=30)
@given(transactions, st.lists(references, min_size=1, max_size=20), st.booleans())
def test_a_request_arrives_as_it_was_made(transaction, items, implicit):
    request = CommitmentRequest(transaction_uid=transaction, references=tuple(items))

    assert read_request(sent(request_data_set(request), implicit)) == request


@settings(max_examples=30)
@given(transactions, distinct, st.sets(st.integers(0, 19)), st.integers(0, 0xFFFF), st.booleans())
def test_a_report_arrives_as_it_was_made(transaction, items, failing, reason, implicit):
    failed = [item for index, item in enumerate(items) if index in failing]
    report = CommitmentReport(
        transaction_uid=transaction,
        committed=tuple(item for item in items if item not in failed),
        failed=tuple(FailedInstance(reference=item, reason=reason) for item in failed),
    )
    data_set = sent(report_data_set(report), implicit)

    if items:
        assert read_report(data_set, event_type(report)) == report
    else:
        with pytest.raises(CommitmentMalformed, match="neither"):
            read_report(data_set, ALL_COMMITTED)


def test_a_list_beyond_the_limit_is_none():
    request = Dataset()
    request.TransactionUID = "1.2.3"
    request.ReferencedSOPSequence = [Dataset()]
    request.ReferencedSOPSequence[0].ReferencedSOPClassUID = str(CTImageStorage)
    request.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3.4"
    one = encode(request, True, True) or b""
    at = one.index(b"\x08\0\x99\x11") + 4
    item = one[at + 4 :]
    count = MAX_REFERENCES + 1
    many = one[:at] + struct.pack("<I", len(item) * count) + item * count
    with pytest.raises(CommitmentMalformed, match="more than 65536"):
        read_request(attributes_of(many, implicit=True))


def complete_report() -> Dataset:
    one, other = (
        ReferencedInstance(sop_class_uid=str(CTImageStorage), sop_instance_uid=uid) for uid in ("1.2", "1.3")
    )
    failed = FailedInstance(reference=other, reason=FailureReason.NO_SUCH_INSTANCE)
    return report_data_set(
        CommitmentReport(transaction_uid="2.25.1", committed=(one, other), failed=(failed,))
    )


def test_what_is_named_as_kept_and_as_failed_has_failed():
    report = read_report(sent(complete_report()), SOME_FAILED)

    assert [item.sop_instance_uid for item in report.committed] == ["1.2"]
    assert [item.text for item in report.failed] == ["0112H no such object instance"]


def test_who_names_a_failure_among_successes_has_proven_nothing_of_it():
    report = read_report(sent(complete_report()), ALL_COMMITTED)

    assert [item.sop_instance_uid for item in report.committed] == ["1.2"]
    assert report.failed == ()


def test_a_failure_without_reason_is_a_failure():
    data_set = complete_report()
    del data_set.FailedSOPSequence[0].FailureReason

    assert read_report(sent(data_set), SOME_FAILED).failed[0].reason == FailureReason.PROCESSING_FAILURE


@pytest.mark.parametrize("value", [None, ["1.2", "1.3"], "1.2."])
def test_a_transaction_without_a_proper_uid_is_none(value):
    data_set = complete_report()
    data_set["TransactionUID"] = DataElement("TransactionUID", "UI", value, validation_mode=config.IGNORE)

    with pytest.raises(CommitmentMalformed, match="TransactionUID"):
        read_report(sent(data_set), SOME_FAILED)


def test_an_item_without_instance_is_malformed():
    data_set = complete_report()
    del data_set.ReferencedSOPSequence[0].ReferencedSOPInstanceUID

    with pytest.raises(CommitmentMalformed, match="ReferencedSOPInstanceUID"):
        read_report(sent(data_set), SOME_FAILED)


@pytest.mark.parametrize("provides", [False, True])
@pytest.mark.parametrize("takes", [False, True])
@pytest.mark.parametrize("reports", [False, True])
@pytest.mark.parametrize("right", [False, True])
def test_who_may_be_scp_of_storage_commitment(provides, takes, reports, right):
    rights = {Right.COMMITMENT} if right else {Right.STORE, Right.ECHO}
    proposed = build_context(STORAGE_COMMITMENT, list(CONVERTIBLE))
    proposed.context_id = 1
    context = commitment_context(rights, provides=provides, takes_reports=takes, reports=reports)
    roles = {STORAGE_COMMITMENT: (False, True)} if reports else None

    (result,), answers = negotiate_as_acceptor(
        [proposed], supported_contexts([proposed], rights, commitment=context), roles
    )

    if takes and reports and right:
        assert (result.result, result.as_scu, result.as_scp) == (0x00, True, False)
        assert [(item.scu_role, item.scp_role) for item in answers] == [(False, True)]
    elif provides and right:
        assert (result.result, result.as_scu, result.as_scp) == (0x00, False, True)
    else:
        assert result.result == 0x03


@given(st.lists(st.binary(max_size=40)), st.integers(0, 200))
def test_a_buffer_holds_what_it_may_and_no_more(fragments, limit):
    buffer = BoundedBuffer(limit)
    total = 0
    for fragment in fragments:
        total += len(fragment)
        if total > limit:
            with pytest.raises(ValueError, match=str(limit)):
                buffer.write(fragment)
            break
        buffer.write(fragment)
    assert len(buffer.getvalue()) <= limit


@given(st.integers(0, 0xFFFF))
def test_every_status_means_something(status):
    for meaning in (request_meaning_of(status), query_meaning_of(status)):
        assert meaning.text.startswith(f"{status:04X}H ")
        assert not (meaning.delivered and meaning.retryable)
    assert query_meaning_of(status).delivered == (status == 0x0000)
