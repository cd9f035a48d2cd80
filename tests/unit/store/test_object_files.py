from __future__ import annotations

import hashlib
import resource

import pytest

from node.domain.errors import ObjectMissing, OutOfSpace
from node.store.object_files import LocalObjectFiles


@pytest.fixture
def files(tmp_path, uids):
    return LocalObjectFiles(tmp_path, uids)


def test_a_committed_object_has_its_bytes_under_their_digest(files, tmp_path):
    with files.spool() as spooled:
        spooled.stream.write(b"DI")
        spooled.stream.write(memoryview(b"CM"))
        assert spooled.path.read_bytes() == b"DICM"
        stored = spooled.commit()
    sha = hashlib.sha256(b"DICM").hexdigest()
    assert (stored.key, stored.sha256, stored.size) == (sha, sha, 4)
    assert files.path(sha) == tmp_path / "objects" / sha[:2] / f"{sha}.dcm"
    assert files.path(sha).read_bytes() == b"DICM"
    assert list((tmp_path / "spool").iterdir()) == []


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
