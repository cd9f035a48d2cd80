"""Remote text on a terminal and in pasted settings."""

from __future__ import annotations

import json
import tomllib
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from node.cli.output import MAX_CELL, printable, show, show_json, table
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


def test_lines_are_printed_as_they_are_but_for_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    line = "a line of a report that is longer than eighty characters, and that no terminal may break in two"
    show(f"{line}\n  [bold]second[/]\x1b[2J")
    assert capsys.readouterr().out == f"{line}\n  [bold]second[/]�[2J\n"


@given(st.text())
def test_json_holds_no_control_character_and_says_the_same(text: str) -> None:
    with redirect_stdout(StringIO()) as stream:
        show_json([text])
    assert json.loads(stream.getvalue()) == [text]
    assert all(line.isprintable() for line in stream.getvalue().splitlines())


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
