"""The node beside other DICOM servers: storing, finding, retrieving, DICOMweb, measured by a kit.

The kit measures servers with the same client and the same data, taking turns; it starts the peer. This
command starts, for each of the kit's commands, a node with an empty store, and makes tables of the records:

``python -m benchmarks.peers --kit FOLDER --kit-python PYTHON --work FOLDER --out tables.md``

The folder of ``--kit`` holds the kit's ``peers.py``; PYTHON has what the kit needs; that of ``--work`` has
room for some gigabytes, on the disk that counts, and keeps the kit's data (made when they are not there).
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

COMMANDS: Final = ("store", "find", "retrieve", "web")
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 60.0
LOOPBACK: Final = "127.0.0.1"
SINK_PORT: Final = 11199
"""On which the kit takes what is sent by C-MOVE, as its README says."""
SETTINGS: Final = """
[node]
host = "127.0.0.1"
port = {dicom}
data_dir = "data"

[limits]
max_associations = 100

[web]
enabled = {enabled}
port = {web}
anonymous = true
rights = ["query", "retrieve", "store"]

[health]
enabled = false

[[peers]]
ae_title = "PEERSKIT"
addresses = ["127.0.0.1"]
rights = ["store", "echo", "query", "retrieve"]

[[move_destinations]]
ae_title = "PEERSINK"
host = "127.0.0.1"
port = {sink}

# Nothing is screened within a run: the synthetic images are no patients'.
[assemble]
geometry_quiet_seconds = 86400
plain_quiet_seconds = 86400
study_quiet_seconds = 86400
cap_seconds = 86400
"""
NODE: Final = "node"


@dataclass(frozen=True, kw_only=True)
class RunningNode:
    """A node with an empty store."""

    pid: int
    dicom: int
    web: int

    @property
    def address(self) -> str:
        """Return it as the kit's ``--node`` names it."""
        return f"{LOOPBACK}:{self.dicom}:http://{LOOPBACK}:{self.web}/dicom-web"


def main() -> None:
    """Measure and print tables."""
    arguments = _arguments()
    arguments.work.mkdir(parents=True, exist_ok=True)
    kit = Kit(arguments)
    if not (arguments.work / "data").exists():
        kit.run("data")
    results = arguments.work / "results.jsonl"
    before = results.stat().st_size if results.exists() else 0
    failed = [command for command in arguments.commands if not measured(kit, command, arguments)]
    with results.open(encoding="utf-8") as lines:
        lines.seek(before)
        text = tables(json.loads(line) for line in lines)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text, encoding="utf-8")
    if failed:
        raise SystemExit(f"with problems, see above and the node's log in --work: {', '.join(failed)}")


class Kit:
    """The measuring program.

    Parameters
    ----------
    arguments : Namespace
        Of this command.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._start = [str(arguments.kit_python), str(arguments.kit / "peers.py")]
        self._environ = os.environ | {"PEERS_WORK": str(arguments.work.resolve())}

    def run(self, command: str, *options: str) -> bool:
        """Run one of its commands; return whether all went well."""
        done = subprocess.run([*self._start, command, *options], env=self._environ, check=False)
        return done.returncode == 0


def measured(kit: Kit, command: str, arguments: argparse.Namespace) -> bool:
    """Run one of the kit's commands with a node of its own; return whether all went well."""
    options = [f"--reps={arguments.reps}", f"--limit={arguments.limit}"]
    if arguments.peer:
        options.append(f"--peer={arguments.peer}")
    if command == "store":
        options += [f"--images={arguments.images}", f"--assoc={arguments.assoc}"]
    if command == "find":
        options.append(f"--sizes={arguments.sizes}")
    with (
        tempfile.TemporaryDirectory(prefix="node-", dir=arguments.work) as folder,
        running_node(Path(folder), log=arguments.work / f"node-{command}.log") as node,
    ):
        return kit.run(command, f"--node={node.address}", f"--node-pid={node.pid}", *options)


@contextmanager
def running_node(folder: Path, *, log: Path, web: bool = True) -> Iterator[RunningNode]:
    """Start a node that keeps its store in ``folder`` and tells of itself in ``log``; stop it at the end.

    Parameters
    ----------
    folder : Path
    log : Path
    web : bool
        Whether it speaks DICOMweb.

    Raises
    ------
    SystemExit
        It does not start; its log is printed.
    """
    dicom, other = _free_ports(2)
    settings = folder / "groundglass.toml"
    values = {"dicom": dicom, "web": other, "enabled": str(web).lower(), "sink": SINK_PORT}
    settings.write_text(SETTINGS.format_map(values), encoding="utf-8")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "node", "serve", "--config", str(settings)],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        if not (_answers(process, dicom) and (not web or _answers(process, other))):
            raise SystemExit(f"the node did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")
        yield RunningNode(pid=process.pid, dicom=dicom, web=other)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tables(records: Iterable[dict[str, Any]]) -> str:
    """Return what the kit recorded as tables in Markdown, each with what it was taken on."""
    return "\n".join(_table(record) for record in records)


def _table(record: dict[str, Any]) -> str:
    names = list(record["servers"])
    versions = ", ".join(f"{name} {server['version']}".strip() for name, server in record["servers"].items())
    machine = record["machine"]
    taken = (
        f"{machine['cores']} cores, kernel {machine['kernel']}, {machine['busy_percent']:.0f} % busy before"
    )
    both = len(names) == 2  # the kit gives ratios, pair by pair, where there is a peer
    head = ["figure", "better", *names, *(["node/peer"] if both else [])]
    lines = [
        f"**{record['command']}: {record['title']}**",
        "",
        f"{record['at']}; {versions}; {taken}. Median [min-max].",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
    ]
    for figure, row in record["summary"].items():
        cells = [figure, row["better"], *(_shown(row.get(name)) for name in names)]
        lines.append(f"| {' | '.join([*cells, *([_shown(row['ratio'])] if both else [])])} |")
    return "\n".join([*lines, ""])


def _shown(values: dict[str, float] | None) -> str:
    if values is None:
        return "-"
    return f"{_number(values['median'])} [{_number(values['min'])}-{_number(values['max'])}]"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until a port is open; return whether it is."""
    for _ in range(int(START_SECONDS / 0.1)):
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            return False
        else:
            return True
    return False


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    try:
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"of {', '.join(COMMANDS)} (all)")
    parser.add_argument("--kit", type=Path, required=True, help="folder of the kit")
    parser.add_argument("--kit-python", default=sys.executable, help="interpreter for the kit (this one)")
    parser.add_argument("--work", type=Path, default=Path(".peers-work"), help="folder of data and stores")
    parser.add_argument("--peer", default="orthanc", help="who is measured beside the node; empty for nobody")
    parser.add_argument("--reps", type=int, default=5, help="runs a side (5)")
    parser.add_argument("--images", type=int, default=600, help="CT images of a run of `store` (600)")
    parser.add_argument("--assoc", default="1,4", help="parallel associations of `store` (1,4)")
    parser.add_argument("--sizes", default="1000,10000", help="studies held for `find` (1000,10000)")
    parser.add_argument("--limit", type=int, default=1800, help="seconds for each command (1800)")
    parser.add_argument("--out", type=Path, help="file for the tables")
    arguments = parser.parse_args()
    unknown = set(arguments.commands) - set(COMMANDS)
    if unknown:
        parser.error(f"no such command of the kit: {', '.join(sorted(unknown))}")
    arguments.commands = arguments.commands or list(COMMANDS)
    return arguments


if __name__ == "__main__":
    main()
