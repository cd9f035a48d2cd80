"""A node whose associations run in processes of their own: ``python processes_child.py ROOT``.

Process number and port go to standard output; it ends when its standard input does, unless it is killed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.station.processes_ground import receiving_in_processes


def main() -> None:
    """Receive until told to end."""
    with receiving_in_processes(Path(sys.argv[1])) as ground:
        sys.stdout.write(f"{os.getpid()} {ground.port}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
