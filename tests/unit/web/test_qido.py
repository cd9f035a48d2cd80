"""What of the answers to a search lies within offset and limit."""

from __future__ import annotations

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from node.decide.queries import Entity
from node.domain.query import Level
from node.web.qido import selected
from node.web.query_text import WebQuery


@given(
    st.lists(st.lists(st.integers(), max_size=5), max_size=6),
    st.integers(0, 12),
    st.none() | st.integers(0, 12),
)
def test_what_is_asked_for_is_selected_and_nothing_behind_it_is_read(
    pages: list[list[int]], offset: int, limit: int | None
) -> None:
    entities = [[Entity(texts={"InstanceNumber": str(number)}) for number in page] for page in pages]
    query = WebQuery(level=Level.IMAGE, keys=(), narrowing={}, limit=limit, offset=offset, warnings=())
    unread = iter(entities)
    found = list(selected(unread, query))
    whole = list(chain.from_iterable(entities))
    assert list(chain.from_iterable(found)) == whole[offset:][:limit]
    assert all(found)
    read = len(entities) - len(list(unread))
    if limit is not None:
        assert sum(map(len, entities[:read][:-1])) < max(offset + limit, 1)
    assert limit != 0 or not read
