"""Data sets on their way in, without a network."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage
from pynetdicom.dimse_messages import C_ECHO_RQ, C_STORE_RQ, C_STORE_RSP, DIMSEMessage
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.pdu_primitives import P_DATA

from node.dimse.session import association_end
from node.dimse.status import Answer, Status
from node.dimse.store_commands import StoreRequest, store_answer, store_request, store_response
from node.dimse.storing import ArrivingObject
from node.domain.errors import ModelError, NotDicom, OutOfSpace
from node.domain.study import AssociationEnd


class MemorySink:
    """Keeps what comes; fails where told."""

    def __init__(self, on_write: Exception | None = None, on_finish: Exception | None = None) -> None:
        self.data = b""
        self.calls: list[str] = []
        self.on_write, self.on_finish = on_write, on_finish

    def write(self, data: bytes) -> None:
        if self.on_write:
            raise self.on_write
        self.data += data

    def finish(self) -> None:
        self.calls.append("finish")
        if self.on_finish:
            raise self.on_finish

    def discard(self) -> None:
        self.calls.append("discard")


@given(st.lists(st.binary(max_size=50), min_size=1), st.integers(1, 200))
def test_fragments_arrive_whole_or_not_at_all(fragments, limit):
    sink = MemorySink()
    arriving = ArrivingObject(lambda: sink, limit)

    for fragment in fragments:
        arriving.write(fragment)
    answer = arriving.finish()

    total = b"".join(fragments)
    if len(total) <= limit:
        assert answer.status is Status.SUCCESS
        assert sink.data == total
        assert sink.calls == ["finish", "discard"]
    else:
        assert answer.status is Status.OUT_OF_RESOURCES
        assert "finish" not in sink.calls
    assert arriving.excessive == (len(total) > 2 * limit)


@pytest.mark.parametrize("when", ["on_write", "on_finish"])
@pytest.mark.parametrize(
    ("error", "status"),
    [(OutOfSpace("full"), Status.OUT_OF_RESOURCES), (NotDicom("page"), Status.CANNOT_UNDERSTAND)],
)
def test_a_failure_is_answered_and_released_once(when, error, status):
    sink = MemorySink(**{when: error})
    arriving = ArrivingObject(lambda: sink, 100)
    arriving.write(b"one")
    arriving.write(b"two")

    assert arriving.finish().status is status
    arriving.discard()

    assert sink.calls.count("discard") == 1


def test_a_failure_to_open_is_answered():
    def refuse() -> MemorySink:
        raise OutOfSpace("full")

    arriving = ArrivingObject(refuse, 100)
    arriving.write(b"one")

    assert arriving.finish().status is Status.OUT_OF_RESOURCES


def test_an_unexpected_error_is_released_and_not_hidden():
    sink = MemorySink(on_finish=ModelError("a bug"))
    arriving = ArrivingObject(lambda: sink, 100)
    arriving.write(b"one")

    with pytest.raises(ModelError):
        arriving.finish()

    assert sink.calls == ["finish", "discard"]


def test_nothing_arrived_is_not_understood():
    assert ArrivingObject(MemorySink, 100).finish().status is Status.CANNOT_UNDERSTAND


def test_after_the_end_nothing_is_taken():
    sink = MemorySink()
    arriving = ArrivingObject(lambda: sink, 100)
    arriving.write(b"one")
    arriving.discard()

    arriving.write(b"two")

    assert sink.data == b"one"
    assert arriving.finish().status is Status.CANNOT_UNDERSTAND
    assert sink.calls == ["discard"]


@pytest.mark.parametrize(
    ("facts", "end"),
    [
        ((True, False, False), AssociationEnd.RELEASED),
        ((True, True, True), AssociationEnd.RELEASED),
        ((False, False, True), AssociationEnd.RESTART),
        ((False, True, False), AssociationEnd.TIMEOUT),
        ((False, False, False), AssociationEnd.ABORTED),
    ],
)
def test_how_an_association_ended(facts, end):
    released, timed_out, stopped = facts

    assert association_end(released=released, timed_out=timed_out, stopped=stopped) is end


UIDS = st.lists(st.integers(0, 10**9), min_size=1, max_size=6).map(
    lambda parts: "1.2." + ".".join(map(str, parts))
)
COMMENTS = st.text(st.characters(exclude_categories=["Cc"]), max_size=40)
MESSAGE_IDS = st.integers(0, 0xFFFF)


def command_of(message: DIMSEMessage) -> bytes:
    """Return a command set as the library encodes it (PS3.7 section 6.3.1)."""
    encoded = encode(message.command_set, is_implicit_vr=True, is_little_endian=True)
    assert encoded is not None
    return encoded


@given(MESSAGE_IDS, UIDS, st.booleans(), st.booleans())
def test_a_request_is_read_as_the_library_writes_it(message_id, uid, with_data, moved):
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = message_id, 1
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CTImageStorage, uid
    if moved:
        primitive.MoveOriginatorApplicationEntityTitle = "PACS"
        primitive.MoveOriginatorMessageID = 7
    if with_data:
        primitive.DataSet = BytesIO(b"\0\0")
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)

    assert store_request(command_of(message)) == StoreRequest(
        message_id=message_id, sop_class_uid=CTImageStorage, sop_instance_uid=uid, has_data_set=with_data
    )


@given(
    MESSAGE_IDS, UIDS, st.sampled_from(Status), st.text(st.characters(exclude_categories=["Cc"]), max_size=40)
)
def test_a_response_is_read_by_the_library_as_it_is_written(message_id, uid, status, comment):
    request = StoreRequest(
        message_id=message_id, sop_class_uid=CTImageStorage, sop_instance_uid=uid, has_data_set=True
    )
    command = store_response(request, Answer(status=status, comment=comment))

    pdata, message = P_DATA(), DIMSEMessage()
    pdata.presentation_data_value_list.append((1, b"\x03" + command))
    assert message.decode_msg(pdata)
    answer = message.message_to_primitive()

    assert isinstance(answer, C_STORE)
    assert answer.is_valid_response
    assert (answer.MessageIDBeingRespondedTo, answer.Status) == (message_id, status)
    assert (answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID) == (CTImageStorage, uid)
    assert message.command_set.CommandGroupLength == len(command) - 12
    assert len(command) % 2 == 0


def test_another_command_is_none_to_store():
    primitive, message = C_ECHO(), C_ECHO_RQ()
    primitive.MessageID = 1
    primitive.AffectedSOPClassUID = "1.2.840.10008.1.1"
    message.primitive_to_message(primitive)

    assert store_request(command_of(message)) is None


@given(st.binary(max_size=120))
@example(b"\0\0\x00\x01\x02\0\0\0\x01\0")
@example(b"\0\0\x00\x01\x02\0\0\0\x01\0" + b"\0\0\x02\0\x02\0\0\0\xff\xfe")
def test_any_bytes_are_a_command_or_a_value_error(command):
    try:
        store_request(command)
    except ValueError:
        return
    assert command, "a command set has a Command Field at least"


@given(MESSAGE_IDS, UIDS, st.integers(1, 60))
def test_a_request_that_is_cut_is_a_value_error_or_a_request(message_id, uid, cut):
    primitive, message = C_STORE(), C_STORE_RQ()
    primitive.MessageID, primitive.Priority = message_id, 0
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CTImageStorage, uid
    message.primitive_to_message(primitive)
    command = command_of(message)
    try:
        found = store_request(command[:-cut])
    except ValueError:
        return
    assert found is None or (found.message_id == message_id and uid.startswith(found.sop_instance_uid))


@given(MESSAGE_IDS, st.integers(0, 0xFFFF), st.text("abc XYZ-", max_size=64))
def test_an_answer_is_read_as_the_library_writes_it(message_id, status, comment):
    primitive, written = C_STORE(), C_STORE_RSP()
    primitive.MessageIDBeingRespondedTo, primitive.Status = message_id, status
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CTImageStorage, "1.2"
    if comment.strip():
        primitive.ErrorComment = comment
    written.primitive_to_message(primitive)

    answer = store_answer(command_of(written))

    assert answer is not None
    assert answer.is_valid_response
    assert (answer.MessageIDBeingRespondedTo, answer.Status) == (message_id, status)
    assert (getattr(answer, "ErrorComment", None) or "") == comment.strip()


def test_an_answer_with_a_data_set_is_refused():
    command = store_response(
        StoreRequest(message_id=1, sop_class_uid="1.2", sop_instance_uid="1.2.3", has_data_set=True),
        Answer(status=Status.SUCCESS),
    )
    with pytest.raises(ValueError, match="with a data set"):
        store_answer(command.replace(b"\0\0\0\x08\2\0\0\0\1\1", b"\0\0\0\x08\2\0\0\0\0\0"))
