"""A receiving node in a process of its own: ``python receiving_child.py ROOT``.

Prints the number of its port, and ends when its standard input does. Whoever started it may trace it.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from tests.station.receiving_node import start_receiving

PR_SET_PTRACER = 0x59616D61  # prctl(2)
ANYBODY = ctypes.c_ulong(-1)


def main() -> None:
    """Receive until told to end."""
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)
    node = start_receiving(Path(sys.argv[1]))
    sys.stdout.write(f"{node.port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    node.listener.stop(grace_seconds=0.1)
    node.database.close()


if __name__ == "__main__":
    main()
