"""What is written of an object that is transcoded while it is sent."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, nullcontext
from io import FileIO
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from node.dimse import suboperations
from node.dimse.suboperations import _ahead, _regrouped
from node.domain.errors import StoreError


@given(blocks=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=12), size=st.integers(1, 30))
def test_blocks_of_any_length_become_blocks_of_one_length(blocks: list[bytes], size: int) -> None:
    found = list(_regrouped(iter(blocks), size))
    assert b"".join(block for block, _ in found) == b"".join(blocks)
    assert [last for _, last in found] == [False] * (len(found) - 1) + [True]
    assert {len(block) for block, last in found if not last} <= {size}
    assert 0 < len(found[-1][0]) <= size


class SmallDisk(FileIO):
    """A file on a disk with little room."""

    room = 0

    def write(self, data):
        taken = min(len(data), self.room - self.tell())
        return super().write(bytes(data[:taken]))


@given(
    content=st.binary(min_size=1, max_size=200),
    size=st.integers(1, 30),
    ahead=st.integers(0, 200),
    room=st.integers(0, 200),
)
def test_an_object_is_the_same_however_much_of_it_is_kept_before_it_is_sent(
    content: bytes, size: int, ahead: int, room: int
) -> None:
    @contextmanager
    def scratch():
        with tempfile.NamedTemporaryFile() as named, SmallDisk(named.name, "w+") as file:
            file.room = room
            yield file

    blocks = list(_regrouped(iter([content]), size))
    with patch.object(suboperations, "TRANSCODED_AHEAD", ahead):
        assert [(bytes(block), last) for block, last in _ahead(iter(blocks), scratch)] == blocks


def test_what_is_received_finds_room_beside_what_is_transcoded() -> None:
    """Nothing is kept on a disk with less room than is left free; the object goes out all the same."""
    with tempfile.TemporaryFile(buffering=0) as file:
        blocks = [(b"12", False), (b"34", False), (b"5", True)]
        with patch.object(suboperations, "KEPT_FREE", 1 << 62):
            assert list(_ahead(iter(blocks), lambda: nullcontext(file))) == blocks
        assert os.fstat(file.fileno()).st_size == 0


def test_an_object_goes_out_though_nothing_of_it_can_be_written_down() -> None:
    """As where a disk is read-only by now."""
    blocks = [(b"12", False), (b"34", False), (b"5", True)]

    @contextmanager
    def scratch():
        raise StoreError("the disk refused")
        yield

    assert list(_ahead(iter(blocks), scratch)) == blocks
