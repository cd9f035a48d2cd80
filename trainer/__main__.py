"""``python -m trainer``."""

from __future__ import annotations

import logging
import sys

from trainer.cli.app import app
from trainer.errors import TrainerError

FAILED = 1


def main() -> None:
    """Run one command; an error of the trainer becomes one line and exit status 1."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        app()
    except TrainerError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
