"""Run the demonstration in a process of its own and return what it measured."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def run_demo(
    source: Path | None, *, bundle: Path | None = None, precision: str | None = None
) -> dict[str, Any]:
    """Return the summary of one demonstration.

    Parameters
    ----------
    source : Path or None
        A folder of DICOM files; None sends the phantom.
    bundle : Path, optional
        Model folder instead of the default one.
    precision : str, optional
        Of the engine, instead of f32.
    """
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "node", "demo", "--out", out, "--quiet-seconds", "1"]
        if source is not None:
            command += ["--input", str(source)]
        if bundle is not None:
            command += ["--bundle", str(bundle)]
        if precision is not None:
            command += ["--precision", precision]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        summary: dict[str, Any] = json.loads((Path(out) / "summary.json").read_text())
    return summary


def peak_bytes_of_children() -> int:
    """Return the largest resident memory that any child process reached."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # kilobytes on Linux
