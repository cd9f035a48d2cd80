"""Where the log goes. No line names a patient: that is each module's duty."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
QUIET = ("alembic", "httpcore", "httpx", "pynetdicom", "pydicom", "py.warnings")
"""Libraries that report what the node reports itself, or quote attributes, which may be a patient's."""


def log_to(handler: logging.Handler, level: str) -> None:
    """Send the log of this process to a handler."""
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Send the log to a file for a block."""
    handler = logging.FileHandler(path, encoding="utf-8")
    log_to(handler, "INFO")
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
