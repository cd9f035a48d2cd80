"""Peak resident memory of the demonstration, node, sender and PACS in one process, with a large study.

Run: ``python -m benchmarks.memory [--slices 400]``.
The figure is an upper bound of what the node alone takes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.demo_run import peak_bytes_of_children, run_demo
from node.dicom.write import PhantomLabels, write_phantom
from node.imaging.phantom import ThoraxPhantom

MEBIBYTE = 1024 * 1024


def main() -> None:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=400)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        phantom = ThoraxPhantom(seed=1, slices=arguments.slices, patches=8)
        write_phantom(Path(folder), phantom, PhantomLabels(identity="memory"))
        (study,) = run_demo(Path(folder))["studies"]
    peak = peak_bytes_of_children() / MEBIBYTE
    print(f"{arguments.slices} slices, outcome {study['outcome']}: {peak:.0f} MiB peak")


if __name__ == "__main__":
    main()
