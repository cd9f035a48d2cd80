"""Memory of a whole node, and of the processes it starts, over many small images in a row.

Run: ``python -m benchmarks.endurance --folder EMPTY [--images 100000] [--processes 1] [--out table.md]``.
The folder gets the node's store: one object and some 6 KiB on the disk for each image, removed at the end; a
file system in memory spares others the removal. The images are slices of the phantom cut down to 16 x 16,
as studies of one series of 200 each, sent by four associations that wait for each answer; every study is
judged, screened and closed as in a hospital.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.pdus import STORE_CONTEXT, p_data, release_request, store_command
from tests.faults.raw_peer import ACCEPTED, RawPeer
from tests.faults.seeds import data_set_of, file_bytes, small_ct
from tests.free_ports import free_port

SIDE: Final = 16
SLICES: Final = 200
ASSOCIATIONS: Final = 4
AN_ASSOCIATION: Final = 1000
"""Images after which an association is released and another one opened."""
SAMPLES: Final = 40
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 60.0
FIRST: Final = 10_000_000
UIDS: Final = tuple(f"1.2.826.0.1.3680043.10.1.{kind}.{{}}" for kind in range(1, 4))
"""Of study, series and instance, all of one length."""
SETTINGS: Final = """
[node]
ae_title = "GROUNDGLASS"
host = "127.0.0.1"
port = {port}
data_dir = "data"

[limits]
receiving_processes = {processes}

[[peers]]
ae_title = "CT1"
addresses = ["127.0.0.1"]

[assemble]
geometry_quiet_seconds = 5.0
plain_quiet_seconds = 5.0
study_quiet_seconds = 5.0

[health]
port = {health}
least_free_bytes = 0
"""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the node takes at one moment."""

    images: int
    seconds: float
    resident: dict[int, float]
    """MiB by process number."""
    descriptors: int
    threads: int


class Sender(threading.Thread):
    """Sends images, each after the answer to the one before.

    Parameters
    ----------
    port : int
    numbers : iterator of int
        Shared by all senders: a series comes by all of them.
    """

    def __init__(self, port: int, numbers: Iterator[int]) -> None:
        super().__init__(daemon=True)
        self._port, self._numbers = port, numbers
        self.acknowledged = 0
        self.failure = ""

    def run(self) -> None:
        """Send until there are no more."""
        try:
            while part := list(itertools.islice(self._numbers, AN_ASSOCIATION)):
                self._send(part)
        except (OSError, ValueError) as error:
            self.failure = str(error)

    def _send(self, numbers: list[int]) -> None:
        with RawPeer(self._port) as peer:
            if peer.associate() != ACCEPTED:
                raise ConnectionRefusedError("no association")
            for number in numbers:
                study = FIRST + number // SLICES
                uids = [str(value) for value in (study, study, FIRST + number)]
                command = COMMAND.replace(UIDS[2].format(FIRST).encode(), UIDS[2].format(uids[2]).encode())
                data_set = DATA_SET
                for uid, value in zip(UIDS, uids, strict=True):
                    data_set = data_set.replace(uid.format(FIRST).encode(), uid.format(value).encode())
                peer.send(p_data(STORE_CONTEXT, 3, command), p_data(STORE_CONTEXT, 2, data_set))
                answer = peer.answer()
                if answer is None or answer.Status != 0x0000:
                    raise ValueError(f"image {number} was answered {answer and answer.Status}")
                self.acknowledged += 1
            peer.send(release_request())
            peer.end()


def _template() -> bytes:
    study, series, instance = (uid.format(FIRST) for uid in UIDS)
    attributes = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": instance}
    return data_set_of(file_bytes(small_ct(SIDE, **attributes)))


DATA_SET: Final = _template()
COMMAND: Final = store_command(UIDS[2].format(FIRST))


@contextmanager
def node_at(folder: Path, processes: int) -> Iterator[tuple[int, int]]:
    """Run a node; give its process number and its port."""
    port, health = free_port(), free_port()
    config = folder / "groundglass.toml"
    config.write_text(SETTINGS.format(port=port, processes=processes, health=health))
    command = [sys.executable, "-m", "node", "serve", "--config", str(config)]
    with (folder / "node.log").open("wb") as log:
        node = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_until_ready(health)
        yield node.pid, port
    finally:
        node.send_signal(signal.SIGTERM)
        node.wait(STOP_SECONDS)


def _wait_until_ready(health: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{health}/healthz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise TimeoutError("the node was not ready in time; see node.log")


def processes_of(parent: int) -> list[int]:
    """Return a process and all that come from it."""
    found = [parent]
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in task.read_text().split():
            found += processes_of(int(child))
    return found


def sample(node: int, images: int, seconds: float) -> Sample:
    """Look at a node and its processes."""
    resident: dict[int, float] = {}
    descriptors = threads = 0
    for process in processes_of(node):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
        resident[process] = int(status["VmRSS"].split()[0]) / 1024
        threads += int(status["Threads"])
        descriptors += len(list(Path(f"/proc/{process}/fd").iterdir()))
    return Sample(images=images, seconds=seconds, resident=resident, descriptors=descriptors, threads=threads)


def measure(folder: Path, images: int, processes: int) -> Iterator[Sample]:
    """Send images to a node, and look at it as often as `SAMPLES` says."""
    with node_at(folder, processes) as (node, port):
        begun = time.monotonic()
        numbers = iter(range(images))
        yield sample(node, 0, 0.0)
        senders = [Sender(port, numbers) for _ in range(ASSOCIATIONS)]
        for sender in senders:
            sender.start()
        due = images // SAMPLES
        while any(sender.is_alive() for sender in senders):
            time.sleep(0.05)
            done = sum(sender.acknowledged for sender in senders)
            if done >= due:
                due += images // SAMPLES
                yield sample(node, done, time.monotonic() - begun)
        failures = [sender.failure for sender in senders if sender.failure]
        if failures:
            raise RuntimeError(f"after {done} images: {failures}")
        time.sleep(10)  # for the last studies to close
        yield sample(node, sum(sender.acknowledged for sender in senders), time.monotonic() - begun)


def row(seen: Sample) -> str:
    """Return the line of a table."""
    sizes = " + ".join(f"{size:.0f}" for _process, size in sorted(seen.resident.items()))
    return f"| {seen.images} | {seen.seconds:.0f} | {sizes} | {seen.threads} | {seen.descriptors} |"


def main() -> None:
    """Measure, and print a line for each look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    lines = ["| images | s | MiB of each process | threads | descriptors |", "|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    try:
        for seen in measure(options.folder, options.images, options.processes):
            lines.append(row(seen))
            print(lines[-1], flush=True)
        size = (options.folder / "data" / "index.sqlite").stat().st_size / 1024**2
        lines.append(f"\nIndex at the end: {size:.0f} MiB.")
        print(lines[-1])
    finally:
        shutil.rmtree(options.folder / "data", ignore_errors=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
