from __future__ import annotations

import errno
import hashlib
import os
import resource
from concurrent.futures import ThreadPoolExecutor

import pytest

from node.domain.errors import ObjectDamaged, ObjectMissing, OutOfSpace, StoreError
from node.store.object_files import LocalObjectFiles


@pytest.fixture
def files(tmp_path, uids):
    return LocalObjectFiles(tmp_path, uids)


def test_a_committed_object_has_its_bytes_under_their_digest(files, tmp_path):
    with files.spool() as spooled:
        spooled.stream.write(b"DI")
        spooled.stream.write(memoryview(b"CM"))
        with spooled.written() as stream:
            assert stream.read() == b"DICM"
        stored = spooled.commit()
    sha = hashlib.sha256(b"DICM").hexdigest()
    assert (stored.key, stored.sha256, stored.size) == (sha, sha, 4)
    assert files.path(sha) == tmp_path / "objects" / sha[:2] / f"{sha}.dcm"
    assert files.path(sha).read_bytes() == b"DICM"
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_file_of_another_size_is_damaged(files):
    key = files.store(b"DICM").key
    assert files.path(key, 4).read_bytes() == b"DICM"
    with pytest.raises(ObjectDamaged, match="4 bytes and not 5"):
        files.path(key, 5)


def test_leaving_without_commit_leaves_nothing(files, tmp_path):
    def half() -> None:
        with files.spool() as spooled:
            spooled.stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert list((tmp_path / "spool").iterdir()) == []
    assert list(files.names()) == []


def test_the_same_bytes_lie_there_once(files):
    assert files.store(b"one").key == files.store(b"one").key
    files.store(b"two")
    assert len(list(files.names())) == 2


def test_a_second_commit_is_the_first(files):
    with files.spool() as spooled:
        spooled.stream.write(b"x")
        assert spooled.commit() is spooled.commit()


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", "0" * 64])
def test_what_is_no_object_is_missing(files, key):
    with pytest.raises(ObjectMissing):
        files.path(key)


def test_a_spool_left_by_a_crash_is_swept(files, tmp_path):
    (tmp_path / "spool" / "abc.part").write_bytes(b"half")
    kept = files.store(b"whole")
    assert files.sweep_spool() == 1
    assert files.sweep_spool() == 0
    assert files.path(kept.key).read_bytes() == b"whole"


def test_damage_is_seen(files):
    key = files.store(b"bytes").key
    assert files.verify(key)
    files.path(key).write_bytes(b"Bytes")
    assert not files.verify(key)


def test_storing_again_heals_damage(files):
    key = files.store(b"bytes").key
    files.path(key).write_bytes(b"")
    files.store(b"bytes")
    assert files.verify(key)


def test_deleting_twice_is_no_error(files):
    key = files.store(b"bytes").key
    files.delete(key)
    files.delete(key)
    assert list(files.names()) == []


def test_no_room_is_told_apart_and_leaves_no_file(files, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OutOfSpace), files.spool() as spooled:
            spooled.stream.write(b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "spool").iterdir()) == []
    assert OutOfSpace.retryable


def test_the_folders_are_for_the_nodes_user_alone(tmp_path, uids):
    files = LocalObjectFiles(tmp_path / "data", uids)
    key = files.store(b"bytes").key
    for folder in (tmp_path / "data", tmp_path / "data" / "objects", files.path(key).parent):
        assert folder.stat().st_mode & 0o077 == 0


@pytest.fixture
def syncs(monkeypatch) -> list[int]:
    """Return the inodes that were synced."""
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    return synced


@pytest.mark.parametrize("refusal", [errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS])
def test_without_hard_links_a_file_is_synced_before_it_is_renamed(
    files, tmp_path, monkeypatch, syncs, refusal
):
    def refuse(*_paths: object) -> None:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(os, "link", refuse)
    key = files.store(b"bytes").key
    place = files.path(key)
    assert place.read_bytes() == b"bytes"
    assert list((tmp_path / "spool").iterdir()) == []
    assert syncs == [place.stat().st_ino, place.parent.stat().st_ino]


@pytest.mark.parametrize(
    "left", [b"", b"byt", b"bytes", b"other bytes"], ids=["empty", "half", "whole", "other"]
)
def test_a_name_that_is_there_already_gets_bytes_that_were_synced(files, tmp_path, syncs, left):
    key = hashlib.sha256(b"bytes").hexdigest()
    place = tmp_path / "objects" / key[:2] / f"{key}.dcm"
    place.write_bytes(left)  # what a failure between its name and its sync has left
    assert files.store(b"bytes").key == key
    assert place.read_bytes() == b"bytes"
    assert syncs == [place.stat().st_ino, place.parent.stat().st_ino]
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("failing", range(3), ids=["link", "sync of the file", "sync of the folder"])
@pytest.mark.parametrize(("number", "error"), [(errno.EIO, StoreError), (errno.ENOSPC, OutOfSpace)])
def test_what_fails_on_its_way_is_not_stored_and_may_be_sent_again(
    files, tmp_path, monkeypatch, syncs, failing, number, error
):
    calls: list[int] = []

    def once(whole):
        def call(*arguments):
            calls.append(0)
            if len(calls) == failing + 1:
                raise OSError(number, os.strerror(number))
            return whole(*arguments)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", once(os.link))
        patched.setattr(os, "fsync", once(os.fsync))
        with pytest.raises(error):
            files.store(b"bytes")
    assert len(calls) == failing + 1
    assert list((tmp_path / "spool").iterdir()) == []

    syncs.clear()
    place = files.path(files.store(b"bytes").key)
    assert place.read_bytes() == b"bytes"
    # Linux forgets that a sync failed: what is there must be bytes that were written and synced anew.
    assert syncs == [place.stat().st_ino, place.parent.stat().st_ino]


def test_the_same_bytes_of_several_threads_are_one_file(files, tmp_path):
    with ThreadPoolExecutor(8) as threads:
        stored = list(threads.map(lambda _number: files.store(b"bytes"), range(40)))
    assert len(set(stored)) == 1
    assert files.verify(stored[0].key)
    assert list((tmp_path / "spool").iterdir()) == []
