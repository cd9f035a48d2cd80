"""Disks that are full or fail: an object is answered A700H, nothing is lost, and all goes on by itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.dimse.scu import Remote
from node.domain.errors import DestinationUnavailable
from tests.faults.failing_disk import ReceivingProcess, fill
from tests.faults.system_calls import SYNCING, answer_to, answered_after_syncs, calls_of
from tests.station.receiving_node import send_files, write_instance

PIXEL_BYTES = 128 * 1024
SUCCESS, OUT_OF_RESOURCES = "0000H", "A700H"

FAILURES = [
    ("write", "EIO"),
    ("fsync", "EIO"),
    ("pwrite64", "ENOSPC"),
    pytest.param("write", "ENOSPC", marks=pytest.mark.faults),
    pytest.param("link,linkat", "EIO", marks=pytest.mark.faults),
    pytest.param("pwrite64", "EIO", marks=pytest.mark.faults),
    pytest.param("fdatasync", "EIO", marks=pytest.mark.faults),
    pytest.param("openat", "EMFILE", marks=pytest.mark.faults),
]


class Sender:
    """Sends objects one after the other, and remembers which were answered with success."""

    def __init__(self, folder: Path, remote: Remote) -> None:
        self._folder = folder
        self._remote = remote
        self._number = 0
        self.acknowledged: set[str] = set()

    def send(self) -> str:
        """Send the next object; return the status it is answered with, empty when there is no answer."""
        self._number += 1
        path, uid = write_instance(
            self._folder / "object.dcm", self._number, pixel_bytes=PIXEL_BYTES, study=self._folder.name
        )
        try:
            [meaning] = send_files(self._remote, path)
        except DestinationUnavailable:
            return ""
        if meaning.delivered:
            self.acknowledged.add(uid)
        return meaning.text.split()[0]


def check_everything(node: ReceivingProcess, sender: Sender) -> None:
    """Check that what was acknowledged is there whole, and that index and files agree."""
    assert node.rows("PRAGMA integrity_check") == [("ok",)]
    rows = node.rows("SELECT sop_instance_uid, object_key, sha256 FROM instances")
    assert {uid for uid, _key, _sha256 in rows} >= sender.acknowledged
    for _uid, key, sha256 in rows:
        content = (node.root / "objects" / key[:2] / f"{key}.dcm").read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
    assert list((node.root / "spool").iterdir()) == []


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceivingProcess]:
    with ReceivingProcess(tmp_path_factory.mktemp("store")) as started:
        yield started


@pytest.mark.parametrize(("call", "error"), FAILURES)
def test_a_call_that_fails_costs_nothing_that_was_acknowledged(
    node: ReceivingProcess, tmp_path: Path, call: str, error: str
) -> None:
    sender = Sender(tmp_path, node.remote)
    assert sender.send() == SUCCESS
    with node.failing(call, error):
        assert sender.send() in {OUT_OF_RESOURCES, ""}
    assert sender.send() == SUCCESS, "it goes on by itself"
    check_everything(node, sender)


def test_the_answer_leaves_after_everything_is_synced(node: ReceivingProcess, tmp_path: Path) -> None:
    """SIGKILL keeps the page cache; only the order of the calls shows what a loss of power would leave."""
    sender, trace = Sender(tmp_path, node.remote), tmp_path / "trace"
    with node.recorded("write,pwrite64,fsync,fdatasync,link,linkat,sendto", trace):
        assert sender.send() == SUCCESS
    lines = trace.read_text().splitlines()
    [(key,)] = node.rows("SELECT object_key FROM instances ORDER BY id DESC LIMIT 1")
    folder = f"/objects/{key[:2]}"
    answer = last(lines, r"sendto\(.*\"\\4\\0")  # a P-DATA-TF PDU (PS3.8 table 9-22)
    begun = last(lines[:answer], r"link(at)?\(.*" + key)
    order = [
        last(lines[:answer], r"write\(\d+<.*\.part>"),
        begun,
        last(lines[:answer], r"fsync\(\d+<.*\.part>"),
        last(lines[:answer], rf"fsync\(\d+<.*{folder}>"),
        begun + 1 + last(lines[begun + 1 : answer], r"pwrite64\(\d+<.*index\.sqlite-wal>"),
        begun + 1 + last(lines[begun + 1 : answer], r"(fsync|fdatasync)\(\d+<.*index\.sqlite-wal>"),
        answer,
    ]
    assert order == sorted(order)


@pytest.mark.faults
def test_a_log_whose_sync_failed_once_is_written_anew_before_the_answer(
    node: ReceivingProcess, tmp_path: Path
) -> None:
    """The system takes what it could not write for written: the next sync alone would succeed without it."""
    sender, trace = Sender(tmp_path, node.remote), tmp_path / "trace"
    assert sender.send() == SUCCESS
    with node.recorded(SYNCING, trace, failing="fdatasync:error=EIO:when=1"):
        assert sender.send() == SUCCESS
    [(uid, key)] = node.rows("SELECT sop_instance_uid, object_key FROM instances ORDER BY id DESC LIMIT 1")
    calls = calls_of(trace)
    answer = answered_after_syncs(calls, key, answer_to(uid))
    of_the_log = [call for call in calls if "index.sqlite-wal>" in call.text and call.ended < answer.begun]
    row = next(number for number, call in enumerate(of_the_log) if key in call.text)
    after = of_the_log[row:]
    failed = next(number for number, call in enumerate(after) if "(INJECTED)" in call.text)
    written = next(
        number
        for number, call in enumerate(after)
        if number > failed and call.name == "pwrite64" and ", 0) = " in call.text
    )
    assert any(call.name == "fdatasync" and call.text.endswith("= 0") for call in after[written:])
    check_everything(node, sender)


def last(lines: list[str], pattern: str) -> int:
    """Return where the last call of a kind stands, without regard to the thread; fails when there is none."""
    found = [number for number, line in enumerate(lines) if re.match(r"\d+ +" + pattern, line)]
    assert found, f"no {pattern}"
    return found[-1]


STAGES = range(0, 640, 16)
"""Free KiB: no room for the object, for the index, for what comes after it."""


@pytest.mark.faults
def test_a_full_disk_at_any_stage_is_answered_and_recovers(tmp_path: Path) -> None:
    with ReceivingProcess(tmp_path / "small", mebibytes=24) as node:
        sender = Sender(tmp_path, node.remote)
        ballast = node.root / "ballast"
        answers: list[str] = []
        for free in STAGES:
            fill(ballast, keep=free << 10)
            answers += [sender.send() for _ in range(2)]
            ballast.unlink()
            assert sender.send() == SUCCESS, "there is room again"
            check_everything(node, sender)
        assert set(answers) <= {SUCCESS, OUT_OF_RESOURCES, ""}
        assert OUT_OF_RESOURCES in answers
