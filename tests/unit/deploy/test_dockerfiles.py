"""The Dockerfiles, linted by hadolint, and that what they copy is there."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILES = sorted((ROOT / "deploy").rglob("Dockerfile"))


def copied(dockerfile: Path) -> list[str]:
    """Return what is copied from the clone into the image."""
    lines = [line.split()[1:-1] for line in dockerfile.read_text().splitlines() if line.startswith("COPY ")]
    return [word for words in lines if not words[0].startswith("--from") for word in words]


def test_hadolint_finds_nothing(program):
    assert len(DOCKERFILES) == 2
    answer = program("hadolint", *DOCKERFILES)
    assert answer.returncode == 0, answer.stdout


def test_hadolint_is_able_to_complain(program, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /opt && pip install numpy\n")
    answer = program("hadolint", tmp_path / "Dockerfile")
    assert answer.returncode == 1
    assert "DL3006" in answer.stdout


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_what_is_copied_is_there_and_not_ignored(dockerfile):
    allowed = [
        line[1:]
        for line in dockerfile.with_name("Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for name in copied(dockerfile):
        assert (ROOT / name).exists(), name
        assert any(fnmatch(name, pattern) for pattern in allowed), f"{name} is in the .dockerignore"


def test_the_image_runs_as_a_user_of_its_own():
    for dockerfile in DOCKERFILES:
        users = re.findall(r"^USER (.+)$", dockerfile.read_text(), re.MULTILINE)
        assert users, dockerfile
        assert int(users[-1].split(":")[0]) > 0


def test_the_packages_metadata_needs_no_file_that_is_not_copied():
    """``pip install .`` reads pyproject.toml, which names the readme and the licence."""
    names = copied(ROOT / "deploy" / "node" / "Dockerfile")
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "node", "trainer"} <= set(names)
