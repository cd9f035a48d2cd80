"""Whole nodes that are to be killed: ``python serving_child.py CONFIG``.

For every line on standard input one is forked, on the same settings, once the one before has ended: its
process number goes to standard output when it begins, and an empty line when it has ended. Forking spares the
seconds in which a process reads its modules.

The clock of a node is that of the machine, moved by as many seconds as the file ``clock-moved-by`` beside the
settings says at that moment.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

from node import app
from node.cli.main import app as command_line

MOVED = "clock-moved-by"


class MovedClock(app.SystemClock):
    """A clock that somebody sets while the node runs; what measures durations goes on."""

    file = Path()

    def now(self) -> datetime:
        """Return the time of day as this clock shows it."""
        return super().now() + timedelta(seconds=float(self.file.read_text()))


def say(line: str) -> None:
    """Tell whoever started this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Fork a node for each line."""
    config = Path(sys.argv[1])
    MovedClock.file = config.with_name(MOVED)
    app.SystemClock = MovedClock
    for _line in sys.stdin:
        child = os.fork()
        if child == 0:
            command_line(["serve", "--config", str(config)])
        say(str(child))
        os.waitpid(child, 0)
        say("")


if __name__ == "__main__":
    main()
