from __future__ import annotations

from node.store.integrity import Problem, ProblemKind, check


def test_a_whole_store_has_no_problem(ward):
    ward.add(1)
    ward.add(2, sop_instance_uid="1.2.9", device_uids=("2.25.7",), own=frozenset({"2.25.7"}))
    ward.screened()
    ward.add(1, data=b"other")
    assert check(ward.store) == []


def test_missing_damaged_and_orphaned_files_are_told_apart(ward):
    for number in range(3):
        ward.add(number)
    keys = [item.object_key for item in ward.store.studies.instances(1)]
    ward.store.files.path(keys[0]).unlink()
    ward.store.files.path(keys[1]).write_bytes(b"1.2.826.0.1.1.9")
    orphan = ward.store.files.store(b"never acknowledged").key
    assert check(ward.store) == [
        Problem(kind=ProblemKind.MISSING, key=keys[0], table="instances"),
        Problem(kind=ProblemKind.DAMAGED, key=keys[1], table="instances"),
        Problem(kind=ProblemKind.ORPHAN, key=orphan, table=""),
    ]


def test_a_truncated_file_is_damaged(ward):
    ward.add(1)
    key = ward.store.studies.instances(1)[0].object_key
    ward.store.files.path(key).write_bytes(b"")
    assert [problem.kind for problem in check(ward.store)] == [ProblemKind.DAMAGED]


def test_more_rows_than_a_batch_are_all_read(ward, monkeypatch):
    monkeypatch.setattr("node.store.integrity.BATCH", 2)
    for number in range(5):
        ward.add(number)
    keys = [item.object_key for item in ward.store.studies.instances(1)]
    for key in keys:
        ward.store.files.path(key).unlink()
    assert [problem.key for problem in check(ward.store)] == keys
