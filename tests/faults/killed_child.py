"""Receiving nodes that are to be killed: ``python killed_child.py ROOT``.

For every line on standard input one is forked, on the same store, once the one before is dead: process
number and port go to standard output. Forking spares the seconds in which a process reads its modules.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.station.receiving_node import start_receiving


def receive(root: Path) -> None:
    """Open the store as a node that starts does, receive, and wait for the end."""
    node = start_receiving(root, sweep=True)
    sys.stdout.write(f"{os.getpid()} {node.port}\n")
    sys.stdout.flush()
    signal.pause()


def main() -> None:
    """Fork a node for each line."""
    for _line in sys.stdin:
        child = os.fork()
        if child == 0:
            receive(Path(sys.argv[1]))
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
