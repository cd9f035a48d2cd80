"""What is written of an object that is transcoded while it is sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.dimse.suboperations import _regrouped


@given(blocks=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=12), size=st.integers(1, 30))
def test_blocks_of_any_length_become_blocks_of_one_length(blocks: list[bytes], size: int) -> None:
    found = list(_regrouped(iter(blocks), size))
    assert b"".join(block for block, _ in found) == b"".join(blocks)
    assert [last for _, last in found] == [False] * (len(found) - 1) + [True]
    assert {len(block) for block, last in found if not last} <= {size}
    assert 0 < len(found[-1][0]) <= size
