"""Entry of the command ``groundglass`` and of ``python -m node``."""

from __future__ import annotations

from node.cli.main import app


def main() -> None:
    """Run the command line."""
    app(prog_name="groundglass")


if __name__ == "__main__":
    main()
