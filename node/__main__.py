"""Entry of the command ``groundglass`` and of ``python -m node``."""

from __future__ import annotations

import gc
import sys

# What is imported stays. Looking for garbage in it while it grows takes a fifth of the start.
gc.disable()

# Other commands read files of who calls them, and decode them themselves.
if sys.argv[1:2] == ["serve"]:
    import node.unneeded  # noqa: F401 -- this is what it is for

from node.cli.main import app  # noqa: E402 -- it is what gc is off for

gc.freeze()
gc.enable()


def main() -> None:
    """Run the command line."""
    app(prog_name="groundglass")


if __name__ == "__main__":
    main()
