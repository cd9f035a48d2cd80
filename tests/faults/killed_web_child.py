"""STOW-RS services that are to be killed: ``python killed_web_child.py ROOT``.

For every line on standard input one is forked, on the same store, once the one before is dead: process
number and port go to standard output. Forking spares the seconds in which a process reads its modules.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.station.stow_ground import serving


def main() -> None:
    """Fork a service for each line."""
    for _line in sys.stdin:
        child = os.fork()
        if child == 0:
            with serving(Path(sys.argv[1])) as web:
                sys.stdout.write(f"{os.getpid()} {web.port}\n")
                sys.stdout.flush()
                signal.pause()
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
