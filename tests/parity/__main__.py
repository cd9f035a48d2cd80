"""Hold import, augmentation, optimisers and Grad-CAM against the originals, and print four tables.

Run ``make parity``, or ``python -m tests.parity`` where the trainer is installed. TensorFlow is installed
into an environment of its own, 1.4 GB. The exit status is 1 where a difference is beyond its tolerance.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from tests.parity import augmenting, explaining, importing, optimising
from tests.parity.environment import ROOT, make_references, python_of
from tests.parity.table import Table

ANSWERS = Path(__file__).parent / "answers"
"""What the unit tests hold the trainer against, where TensorFlow is not at hand."""
KEPT = ("networks.json", "augmentation.json", "optimisers.json")


def main() -> bool:
    """Print the tables; return whether all differences are within their tolerances."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv-parity", help="made where missing")
    parser.add_argument("--python", default=sys.executable, help="3.9 to 3.11, to make the environment with")
    parser.add_argument("--store", action="store_true", help="keep the answers for the unit tests")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_references(python_of(arguments.environment, arguments.python), folder)
        if arguments.store:
            for name in KEPT:
                shutil.copy(folder / name, ANSWERS / name)
        stored = json.loads((ANSWERS / "networks.json").read_text())
        holds = [
            shown(importing.table(folder, stored)),
            shown(augmenting.table(folder)),
            shown(optimising.table(folder)),
        ]
    holds.append(shown(explaining.table()))
    verdict = "All differences are" if all(holds) else "NOT all differences are"
    sys.stdout.write(f"\n{verdict} within their tolerances.\n")
    return all(holds)


def shown(table: Table) -> bool:
    """Print a table and return whether it holds."""
    sys.stdout.write(table.text())
    sys.stdout.flush()
    return table.holds


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
