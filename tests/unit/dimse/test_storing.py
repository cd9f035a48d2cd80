"""Data sets on their way in, without a network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dimse.session import association_end
from node.dimse.status import Status
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
