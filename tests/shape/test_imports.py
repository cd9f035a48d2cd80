"""The architecture's contracts: no cycles, and every contract is able to fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]

VIOLATIONS = {
    "layers": ("node/domain/broken_on_purpose.py", "import node.imaging\n"),
    "no-trainer": ("node/imaging/broken_on_purpose.py", "import trainer\n"),
    "trainer-sees": ("trainer/broken_on_purpose.py", "import node.store\n"),
    "sql": ("node/imaging/broken_on_purpose.py", "import sqlalchemy\n"),
    "network": ("node/report/broken_on_purpose.py", "import pynetdicom\n"),
    "engines": ("node/decide/broken_on_purpose.py", "import openvino\n"),
    "http": ("node/operate/broken_on_purpose.py", "import httpx\n"),
    "highdicom": ("node/assemble/broken_on_purpose.py", "import highdicom\n"),
}


def contract_ids() -> set[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {contract["id"] for contract in settings["tool"]["importlinter"]["contracts"]}


def lint(folder: Path, contract: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    command = [str(program), "--no-cache", "--contract", contract]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_contract_has_a_violation_here():
    assert set(VIOLATIONS) == contract_ids()


@pytest.mark.parametrize("contract", sorted(VIOLATIONS))
def test_a_contract_sees_its_violation(contract: str, tmp_path: Path):
    for package in ("node", "trainer"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    name, text = VIOLATIONS[contract]
    (tmp_path / name).write_text(text)

    answer = lint(tmp_path, contract)

    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "broken_on_purpose" in answer.stdout


def test_there_is_no_import_cycle_between_modules():
    graph = grimp.build_graph("node", "trainer")
    cycles = []
    for module in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            if imported != module and graph.find_shortest_chain(imported, module) is not None:
                cycles.append(f"{module} <-> {imported}")
    assert cycles == []
