"""What the rules of the house are checked on."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Source(NamedTuple):
    """One Python file of the repository."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """Return the dotted module name."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tracked(root: Path = ROOT) -> list[Path]:
    """Return every file that git tracks or would track, relative to the root."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    return [Path(name) for name in listing.stdout.split("\0") if name and (root / name).is_file()]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def files() -> list[Path]:
    return tracked()


@pytest.fixture(scope="session")
def sources(files: list[Path]) -> list[Source]:
    found = []
    for path in files:
        if path.suffix == ".py":
            text = (ROOT / path).read_text()
            found.append(Source(path, text, ast.parse(text, str(path))))
    return found


@pytest.fixture(scope="session")
def product(sources: list[Source]) -> list[Source]:
    return [source for source in sources if source.path.parts[0] in {"node", "trainer"}]
