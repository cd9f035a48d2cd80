"""What is acknowledged is durable: the order of the system calls, and what a killed process leaves behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.store.integrity import ProblemKind, check
from node.store.store import open_store

CHILD = Path(__file__).with_name("store_adding_child.py")
CALL = re.compile(r"^(?P<name>\w+)\((?P<arguments>.*)\) += +(?P<result>-?\d+)")
SECONDS = 60


def system_calls(trace: Path) -> list[tuple[str, str]]:
    """Return name and arguments of every call that succeeded, in order."""
    found = []
    for line in trace.read_text().splitlines():
        match = CALL.match(line)
        if match and int(match["result"]) >= 0:
            found.append((match["name"], match["arguments"]))
    return found


def between_answers(calls: list[tuple[str, str]], number: int) -> list[tuple[str, str]]:
    """Return the calls after the answer to object ``number - 1`` up to the answer to ``number``."""
    answers = [
        index
        for index, (name, arguments) in enumerate(calls)
        if name == "write" and re.match(rf'1(<[^>]*>)?, "({number - 1}|{number}) [0-9a-f]{{64}}', arguments)
    ]
    assert len(answers) == 2
    return calls[answers[0] + 1 : answers[1] + 1]


def position(calls: list[tuple[str, str]], names: str, pattern: str, *, last: bool = False) -> int:
    """Return where a call stands; fails when there is none."""
    found = [
        index
        for index, (name, arguments) in enumerate(calls)
        if re.fullmatch(names, name) and re.search(pattern, arguments)
    ]
    assert found, f"no {names} of {pattern}"
    return found[-1 if last else 0]


def test_file_name_and_row_are_synced_in_this_order_before_the_answer(tmp_path):
    trace, root = tmp_path / "trace", tmp_path / "data"
    subprocess.run(
        [
            *("strace", "-y", "-s", "256", "-o", trace),
            *("-e", "trace=fsync,fdatasync,link,linkat,write,pwrite64"),
            *(sys.executable, CHILD, root, "0", "4", "1"),
        ],
        check=True,
        timeout=SECONDS,
        capture_output=True,
    )
    calls = between_answers(system_calls(trace), 2)
    key = re.search(r"[0-9a-f]{64}", calls[-1][1]).group()
    folder = f"/objects/{key[:2]}"
    order = [
        position(calls, "write", r"\.part>", last=True),
        position(calls, "link|linkat", rf'\.part", .*{folder}/{key}\.dcm"'),
        position(calls, "fsync", r"/spool/[0-9a-f]+\.part"),
        position(calls, "fsync", rf"{folder}>"),
        position(calls, "pwrite64", r"index\.sqlite-wal>", last=True),
        position(calls, "fsync|fdatasync", r"index\.sqlite-wal>", last=True),
        len(calls) - 1,
    ]
    assert order == sorted(order)


def test_the_folders_of_a_new_store_are_synced(tmp_path):
    trace, root = tmp_path / "trace", tmp_path / "data"
    subprocess.run(
        ["strace", "-y", "-o", trace, "-e", "trace=fsync", sys.executable, CHILD, root, "0", "1", "1"],
        check=True,
        timeout=SECONDS,
        capture_output=True,
    )
    synced = {re.search(r"<(.*)>", arguments).group(1) for _name, arguments in system_calls(trace)}
    assert {str(tmp_path), str(root), str(root / "objects")} <= synced


@pytest.mark.parametrize("threads", [1, 4])
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path, clock, uids, threads):
    root = tmp_path / "data"
    acknowledged: dict[int, str] = {}
    for first in (0, 100_000, 200_000):
        with subprocess.Popen(
            [sys.executable, CHILD, root, str(first), "100000", str(threads)],
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            for line in child.stdout:
                number, key = line.split()
                acknowledged[int(number)] = key
                if len(acknowledged) % 25 == 0:
                    break
            child.send_signal(signal.SIGKILL)
            # What it wrote until it died counts too; a line cut short was not an answer.
            for line in child.stdout:
                if line.endswith("\n"):
                    number, key = line.split()
                    acknowledged[int(number)] = key
        assert child.returncode == -signal.SIGKILL

    store = open_store(root, clock=clock, uids=uids)
    store.files.sweep_spool()
    assert list((root / "spool").iterdir()) == []
    indexed = {
        instance.header.instance_number: instance.object_key
        for study in store.studies.list(1000)
        for series in study.series
        for instance in store.studies.instances(series.id)
    }
    assert acknowledged.items() <= indexed.items()
    assert all(store.files.verify(key) for key in acknowledged.values())
    problems = check(store)
    assert {problem.kind for problem in problems} <= {ProblemKind.ORPHAN}, "no row without its bytes"
    assert len(problems) <= 3 * threads
    for study in store.studies.list(1000):
        for series in study.series:
            assert series.instance_count == len(store.studies.instances(series.id))
    store.close()
