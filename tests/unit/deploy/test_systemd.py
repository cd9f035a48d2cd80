"""The unit, verified by systemd, with the program's path put where it lies here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from node.settings.loading import load

UNIT = Path(__file__).parents[3] / "deploy" / "systemd" / "groundglass.service"
MOST_EXPOSED = 20
"""Tenths of systemd's measure from 0 (locked) to 10 (as a service without any restriction)."""


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def placed(folder: Path, text: str) -> Path:
    """Write the unit with the path of the program that is installed here."""
    here = Path(sys.executable).with_name("groundglass")
    unit = folder / UNIT.name
    unit.write_text(text.replace("/opt/groundglass/.venv/bin/groundglass", str(here)))
    return unit


def test_systemd_has_nothing_to_say(tmp_path):
    answer = analyze("verify", placed(tmp_path, UNIT.read_text()))
    assert answer.returncode == 0, answer.stderr
    assert UNIT.name not in answer.stderr


def test_systemd_is_able_to_complain(tmp_path):
    answer = analyze("verify", placed(tmp_path, UNIT.read_text().replace("Type=exec", "Type=exact")))
    assert "exact" in answer.stderr


def test_the_service_is_locked():
    answer = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", UNIT)
    assert answer.returncode == 0, answer.stdout[-200:]


def test_the_units_folders_are_those_of_the_settings():
    text = UNIT.read_text()
    settings = load(UNIT.with_name("groundglass.toml"), {})
    assert str(settings.node.data_dir) == "/var/lib/groundglass"
    assert "StateDirectory=groundglass" in text
    assert "--config /etc/groundglass/groundglass.toml" in text
    assert settings.infer.models_dir == Path("/opt/groundglass/triton_models")


def test_no_demonstration_goes_to_the_hospitals_pacs_unasked():
    (pacs,) = load(UNIT.with_name("groundglass.toml"), {}).destinations
    assert not pacs.accept_demonstration
