"""SIGKILL while studies are removed: rows, files, audit trail and list of removals agree afterwards."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from node.store.integrity import ProblemKind, check
from node.store.store import open_store
from tests.station.store_removing_child import RandomTokens, WallClock

CHILD = Path(__file__).with_name("store_removing_child.py")
ROOT = CHILD.parents[2]


@pytest.mark.long
def test_a_kill_at_any_moment_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    moments = random.Random(6)
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, str(CHILD), str(tmp_path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        ) as child:
            assert child.stdout is not None
            while not child.stdout.readline().startswith("removed"):
                assert child.poll() is None, "the child ended by itself"
            threading.Event().wait(moments.uniform(0, 0.2))
            child.kill()
        look(tmp_path)


def look(root: Path) -> None:
    store = open_store(root, clock=WallClock(), uids=RandomTokens())
    store.retention.drop_files()
    problems = check(store)
    # An arrival that was stopped before its row was written leaves a file that was never acknowledged.
    assert {problem.kind for problem in problems} <= {ProblemKind.ORPHAN}
    assert len(problems) <= 1
    for problem in problems:
        store.files.delete(problem.key)
    store.files.sweep_spool()
    for study in store.studies.list():
        for series in study.series:
            assert len(store.studies.instances(series.id)) == series.instance_count > 0
    acts = [act for act in store.operations.audit_trail(100_000) if act.action == "remove study"]
    assert len(acts) == len(store.retention.removals(100_000)) > 0
    store.close()
