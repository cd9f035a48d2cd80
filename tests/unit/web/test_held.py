"""Answers in memory: what slow clients let wait is bounded, and counted until it has gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import Response

from node.web.errors import Busy
from node.web.held import Held
from node.web.streaming import SHORT

LONG = bytes(SHORT + 1)


async def _sent(answer: Response, *, gone: bool = False) -> bytes:
    """Send an answer, to a client that takes it or goes away."""
    sent: list[bytes] = []
    never = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not gone:
            await never.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        await asyncio.sleep(0)

    await answer({"type": "http", "method": "GET"}, receive, send)
    return b"".join(sent)


@pytest.mark.parametrize("gone", [False, True])
def test_what_is_on_its_way_is_bounded_until_it_has_gone(gone: bool) -> None:
    held = Held(2 * len(LONG))
    answers = [held.answer(LONG, {}) for _ in range(2)]
    with pytest.raises(Busy):
        held.answer(LONG, {})
    assert len(held.answer(LONG[:-1], {}).body) == SHORT  # short ones are not counted
    bodies = [asyncio.run(_sent(answer, gone=gone)) for answer in answers]
    assert gone or bodies == [LONG, LONG]
    assert [held.answer(LONG, {}) for _ in range(2)]


def test_one_answer_alone_may_be_longer() -> None:
    held = Held(10)
    assert asyncio.run(_sent(held.answer(LONG, {}))) == LONG
    held.answer(LONG, {})
    with pytest.raises(Busy):
        held.answer(LONG, {})
