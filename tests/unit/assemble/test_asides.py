"""What came again under a known UID waits while nothing decodes, and the log says so once."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from node.assemble.asides import Comparer
from node.domain.errors import CodecsUnavailable


def test_while_nothing_decodes_one_line_is_logged_and_everything_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[Any] = []

    def compare(*files: Any) -> None:
        asked.append(files)
        raise CodecsUnavailable("no process decodes; there is no memory for one")

    monkeypatch.setattr("node.assemble.asides.compare", compare)
    waiting = [
        SimpleNamespace(id=number, object_key="b", existing=SimpleNamespace(object_key="a"))
        for number in range(3)
    ]
    store: Any = SimpleNamespace(
        asides=SimpleNamespace(to_compare=lambda: waiting),
        files=SimpleNamespace(path=lambda key: key),
        codecs=None,
    )
    with caplog.at_level(logging.INFO):
        assert Comparer(store, frozenset()).compare_pending() == 0
    assert len(asked) == 1
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    assert "compared later: no process decodes" in record.getMessage()
