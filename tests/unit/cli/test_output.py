"""Remote text on a terminal and in pasted settings."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from io import StringIO

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from node.cli.output import MAX_CELL, printable, table
from node.cli.records import admitting_settings
from node.domain.network import RefusedCaller


def rendered(value: object) -> str:
    stream = StringIO()
    Console(file=stream, width=200).print(table("t", ("column",), [(value,)]))
    return stream.getvalue()


@given(st.text())
def test_no_control_character_reaches_the_terminal(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) <= MAX_CELL


def test_markup_in_remote_text_is_only_text() -> None:
    assert "[bold red]x[/]" in rendered("[bold red]x[/]")
    assert "\x1b" not in rendered("\x1b[2Jx")


@given(st.text(max_size=16))
def test_the_settings_to_paste_hold_one_peer_whatever_the_caller_is_called(title: str) -> None:
    caller = RefusedCaller(
        calling_ae_title=title, address="10.0.0.5", reason="", attempts=1, last_at=datetime.now(UTC)
    )
    parsed = tomllib.loads(admitting_settings(caller))
    (peer,) = parsed["peers"]
    assert parsed.keys() == {"peers"}
    assert peer == {"ae_title": title, "addresses": ["10.0.0.5"], "rights": ["echo", "store"]}
