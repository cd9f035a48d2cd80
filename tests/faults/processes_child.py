"""A node whose associations run in processes of their own: ``python processes_child.py ROOT``.

Process number and port go to standard output; it ends when its standard input does, unless it is killed.
Whoever started it may trace it, and its receiving processes.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from tests.station.processes_ground import receiving_in_processes

TRACEABLE = Path(__file__).with_name("traceable")


def main() -> None:
    """Receive until told to end."""
    path = os.pathsep.join([str(TRACEABLE), os.environ.get("PYTHONPATH", "")])
    os.environ["PYTHONPATH"] = path  # that of the receiving processes
    runpy.run_path(str(TRACEABLE / "sitecustomize.py"))
    with receiving_in_processes(Path(sys.argv[1])) as ground:
        sys.stdout.write(f"{os.getpid()} {ground.port}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
