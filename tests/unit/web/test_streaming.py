"""Pieces of bodies: the same bytes, few of them copied."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from node.web.streaming import LONG, PIECE, file_pieces, gathered

SIZES = st.lists(st.sampled_from([0, 1, 200, LONG - 1, LONG, PIECE - 1, PIECE, PIECE + 5]), max_size=12)


@settings(max_examples=50, deadline=None)
@given(sizes=SIZES)
def test_pieces_are_the_same_bytes(sizes: list[int]) -> None:
    parts = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    pieces = list(gathered(parts))
    assert b"".join(part for piece in pieces for part in piece) == b"".join(parts)
    assert all(part for piece in pieces for part in piece)  # the last one says that it is
    for piece in pieces[:-1]:
        assert sum(map(len, piece)) >= PIECE
        long = [part for part in piece if len(part) >= LONG]
        assert all(any(part is own for own in parts) for part in long if len(part) > PIECE)
        assert len(piece) <= 2 * len(long) + 1


def test_a_file_has_no_short_last_piece(tmp_path: Path) -> None:
    path = tmp_path / "object"
    for size in (0, 9, PIECE, PIECE + 1500, 2 * PIECE, 3 * PIECE - 1):
        path.write_bytes(bytes(size))
        lengths = [len(piece) for piece in file_pieces(path, size)]
        assert sum(lengths) == size
        assert not any(length < PIECE // 2 for length in lengths[1:])
