from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from node.deliver.folder_sender import FolderSender
from node.domain.delivery import OutgoingObject, ProofStanding
from node.domain.errors import DestinationUnavailable
from node.domain.network import FolderDestination
from node.domain.result import ResultKind


def outgoing(path: Path, number: int = 1, *, uid: str | None = None) -> OutgoingObject:
    return OutgoingObject(
        delivery_id=number,
        kind=ResultKind.HEATMAP,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
        sop_instance_uid=f"2.25.{number}" if uid is None else uid,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        study_instance_uid="1.2.3",
        series_instance_uid="2.25.99",
        path=path,
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "made"
    path.write_bytes(os.urandom(3_000_000))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "results"
    path.mkdir()
    return path


@pytest.fixture
def sender(folder: Path) -> FolderSender:
    return FolderSender(FolderDestination(name="share", accept_demonstration=True, folder=folder))


def always(_: OutgoingObject) -> bool:
    return True


def test_a_file_is_there_whole_and_alone(sender: FolderSender, source: Path, folder: Path) -> None:
    (reply,) = sender.send([outgoing(source)], may_leave=always)
    assert (reply.delivered, reply.proof) == (True, "read back")
    assert [path.name for path in folder.iterdir()] == ["2.25.1.dcm"]
    assert (folder / "2.25.1.dcm").read_bytes() == source.read_bytes()
    (proof,) = sender.prove([outgoing(source)], transaction_uid="2.25.7", asked=0)
    assert proof.standing is ProofStanding.PROVEN


def test_the_same_again_touches_nothing(sender: FolderSender, source: Path, folder: Path) -> None:
    sender.send([outgoing(source)], may_leave=always)
    before = (folder / "2.25.1.dcm").stat()
    (reply,) = sender.send([outgoing(source)], may_leave=always)
    after = (folder / "2.25.1.dcm").stat()
    assert reply.delivered
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_part_that_a_stop_left_is_written_anew(sender: FolderSender, source: Path, folder: Path) -> None:
    (folder / ".2.25.1.dcm.part").write_bytes(b"half")
    (folder / "2.25.1.dcm").write_bytes(b"another")
    (reply,) = sender.send([outgoing(source)], may_leave=always)
    assert reply.delivered
    assert {path.name for path in folder.iterdir()} == {"2.25.1.dcm"}
    assert (folder / "2.25.1.dcm").read_bytes() == source.read_bytes()


def test_a_link_in_the_place_of_a_part_is_not_followed(
    sender: FolderSender, source: Path, folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"mine")
    (folder / ".2.25.1.dcm.part").symlink_to(elsewhere)
    (reply,) = sender.send([outgoing(source)], may_leave=always)
    assert reply.delivered
    assert elsewhere.read_bytes() == b"mine"
    assert not (folder / "2.25.1.dcm").is_symlink()


def test_the_name_of_a_file_is_durable_before_it_counts(
    sender: FolderSender, source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(source, folder / "2.25.1.dcm")  # renamed there, and then the node stopped
    synced, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_ino), sync(handle)))
    (reply,) = sender.send([outgoing(source)], may_leave=always)
    assert (reply.delivered, synced) == (True, [folder.stat().st_ino])


def test_what_may_not_leave_stays(sender: FolderSender, source: Path, folder: Path) -> None:
    items = [outgoing(source, 1), outgoing(source, 2)]
    (reply,) = sender.send(items, may_leave=lambda item: item.delivery_id == 2)
    assert reply.delivery_id == 2
    assert [path.name for path in folder.iterdir()] == ["2.25.2.dcm"]


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2.3", "2.25.1/..", "2.25.", "2.25.1\0"])
def test_only_own_uids_become_names(sender: FolderSender, source: Path, folder: Path, uid: str) -> None:
    (reply,) = sender.send([outgoing(source, uid=uid)], may_leave=always)
    assert not reply.delivered
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path, source: Path) -> None:
    folder = tmp_path / "unmounted"
    sender = FolderSender(FolderDestination(name="share", accept_demonstration=True, folder=folder))
    attempts: list[Callable[[], object]] = [
        sender.echo,
        lambda: sender.send([outgoing(source)], may_leave=always),
        lambda: sender.prove([outgoing(source)], transaction_uid="2.25.7", asked=0),
    ]
    for attempt in attempts:
        with pytest.raises(DestinationUnavailable, match="no such folder"):
            attempt()
    assert not folder.exists()


def test_what_cannot_be_written_is_tried_again(sender: FolderSender, source: Path, folder: Path) -> None:
    (folder / ".2.25.1.dcm.part").mkdir()
    (reply,) = sender.send([outgoing(source)], may_leave=always)
    assert (reply.delivered, reply.retryable) == (False, True)
    assert "directory" in reply.detail
    missing = outgoing(source.with_name("gone"))
    (reply,) = sender.send([missing], may_leave=always)
    assert (reply.delivered, reply.retryable) == (False, True)


@pytest.mark.parametrize("content", [None, b"cut"])
def test_a_file_that_was_lost_or_changed_is_missing(
    sender: FolderSender, source: Path, folder: Path, content: bytes | None
) -> None:
    sender.send([outgoing(source)], may_leave=always)
    if content is None:
        (folder / "2.25.1.dcm").unlink()
    else:
        (folder / "2.25.1.dcm").write_bytes(content)
    (proof,) = sender.prove([outgoing(source)], transaction_uid="2.25.7", asked=0)
    assert proof.standing is ProofStanding.MISSING


@pytest.mark.parametrize(("group_readable", "mode"), [(False, 0o600), (True, 0o640)])
def test_the_group_may_read_where_the_settings_say_so(
    source: Path, folder: Path, group_readable: bool, mode: int
) -> None:
    sender = FolderSender(
        FolderDestination(
            name="share", accept_demonstration=True, folder=folder, group_readable=group_readable
        )
    )
    before = os.umask(0o077)
    try:
        sender.send([outgoing(source)], may_leave=always)
    finally:
        os.umask(before)
    assert (folder / "2.25.1.dcm").stat().st_mode & 0o777 == mode


def test_an_echo_leaves_nothing(sender: FolderSender, folder: Path) -> None:
    sender.echo()
    assert list(folder.iterdir()) == []
