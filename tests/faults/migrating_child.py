"""Processes that migrate a new index and are killed meanwhile: ``python migrating_child.py``.

For each line on standard input, the path of an index, one is forked that opens it and then waits for its end.
Its number goes to standard output before it begins, "done" when the index is open, "ended" after its end.
"""

from __future__ import annotations

import os
import signal
import sys

from node.store.database import Database
from tests.station.receiving_node import WallClock


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Fork a process for each line."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            say(str(os.getpid()))
            Database.open(f"sqlite:///{line.strip()}", clock=WallClock()).close()
            say("done")
            signal.pause()
        os.waitpid(child, 0)
        say("ended")


if __name__ == "__main__":
    main()
