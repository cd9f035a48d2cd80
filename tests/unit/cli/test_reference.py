"""The generated references in the repository are what the code writes."""

from __future__ import annotations

from pathlib import Path

from node.cli.exits import ExitCode
from node.cli.reference import cli_reference, settings_reference
from node.settings.settings import Settings

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"


def test_the_settings_reference_is_current() -> None:
    assert (REFERENCE / "settings.md").read_text(encoding="utf-8") == settings_reference()


def test_the_reference_of_the_command_line_is_current() -> None:
    assert (REFERENCE / "cli.md").read_text(encoding="utf-8") == cli_reference()


def test_every_table_key_and_exit_code_is_described() -> None:
    settings, commands = settings_reference(), cli_reference()
    assert all(f"[{name}]" in settings for name in Settings.model_fields)
    assert "| None |" not in settings
    assert ": None" not in commands
    assert all(f"\n| {code.value} | " in commands for code in ExitCode)
