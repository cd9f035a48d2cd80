"""Seconds of each stage of one study, and of all the work beside the network's own inference.

Run: ``python -m benchmarks.stages DICOM_FOLDER [--repeat 5]``; without a folder the phantom is sent.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from benchmarks.demo_run import run_demo

INFERENCE = "infer"
WAITING = {"receive", "complete", "settle", "queue"}
"""Stages before the verdict, or waits: no work of the node."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    runs: dict[str, list[float]] = {}
    for _ in range(arguments.repeat):
        (study,) = run_demo(arguments.folder)["studies"]
        seconds = dict(study["seconds"])
        beside = sum(value for name, value in seconds.items() if name not in WAITING | {INFERENCE})
        for name, value in {**seconds, "beside inference": beside}.items():
            runs.setdefault(name, []).append(value)
    print(f"{'stage':<20}{'median':>10}{'min':>10}{'max':>10}   seconds, {arguments.repeat} runs")
    for name, values in runs.items():
        print(f"{name:<20}{statistics.median(values):>10.2f}{min(values):>10.2f}{max(values):>10.2f}")


if __name__ == "__main__":
    main()
