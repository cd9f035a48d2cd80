"""The environment of its own in which the references are made."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
REQUIREMENTS: Final = Path(__file__).parent / "requirements.txt"
TENSORFLOWS: Final = ((3, 9), (3, 11))
"""First and last Python that TensorFlow 2.15 has wheels for."""


def python_of(environment: Path, python: str) -> Path:
    """Return the environment's interpreter; make it first where the requirements are not what it holds."""
    inside, stamp = environment / "bin" / "python", environment / ".installed"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return inside
    version = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2])"], check=True, capture_output=True, text=True
    ).stdout.split()
    first, last = TENSORFLOWS
    if not first <= tuple(map(int, version)) <= last:
        raise SystemExit(
            f"TensorFlow 2.15 needs Python 3.9 to 3.11, {python} is {'.'.join(version)}; "
            "name another with --python"
        )
    subprocess.run([python, "-m", "venv", "--clear", str(environment)], check=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)]
    subprocess.run([str(inside), *install], check=True)
    stamp.write_text(wanted)
    return inside


def make_references(inside: Path, folder: Path) -> None:
    """Let TensorFlow write what it answers into ``folder``."""
    # Without oneDNN TensorFlow computes in one order of summation on all processors.
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "0"}
    command = [str(inside), "-W", "ignore", "-m", "tests.parity.reference", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | quiet)
