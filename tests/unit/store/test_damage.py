"""Files that were missing or damaged when they were to be sent are remembered, for as long as they are."""

from __future__ import annotations

import shutil

import pytest

from node.domain.errors import ObjectMissing
from node.store import damage

NOWHERE = "0" * 64


def key_of(ward, number: int) -> str:
    (series,) = ward.study.series
    uid = ward.make_header(number).sop_instance_uid
    found = {item.header.sop_instance_uid: item for item in ward.store.studies.instances(series.id)}
    return found[uid].object_key


def test_a_missing_file_is_remembered_until_it_is_back(ward):
    ward.add(1)
    key, found = key_of(ward, 1), ward.store.damage
    file = found.path(key)
    content = file.read_bytes()
    file.unlink()
    for _ in range(2):
        with pytest.raises(ObjectMissing):
            found.path(key)
        assert found.count() == 1
    file.write_bytes(content)
    assert found.count() == 0


def test_a_file_that_nothing_names_is_not_remembered(ward):
    with pytest.raises(ObjectMissing):
        ward.store.damage.path(NOWHERE)
    assert ward.store.damage.count() == 0


def test_no_more_are_remembered_than_can_be_looked_at(ward, monkeypatch):
    monkeypatch.setattr(damage, "MOST_REMEMBERED", 1)
    for number in (1, 2):
        ward.add(number)
    for number in (1, 2):
        ward.store.files.delete(key_of(ward, number))
        ward.store.damage.note(key_of(ward, number))
    assert ward.store.damage.count() == 1


def test_a_file_that_cannot_even_be_looked_at_is_damaged_still(ward):
    ward.add(1)
    key, found = key_of(ward, 1), ward.store.damage
    folder = found.path(key).parent
    shutil.rmtree(folder)
    found.note(key)
    folder.symlink_to(folder.name)  # any look at it fails
    assert found.count() == 1
