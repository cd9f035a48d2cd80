"""The files of ``deploy/`` and the programs that judge them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"

Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def deploy() -> Path:
    return DEPLOY


@pytest.fixture(scope="session")
def program() -> Program:
    """Run a program that came with the tests' packages."""

    def run(name: str, *arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        path = Path(sys.executable).with_name(name)
        return subprocess.run(
            [str(path), *map(str, arguments)], capture_output=True, text=True, check=False, **options
        )

    return run
