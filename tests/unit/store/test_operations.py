from __future__ import annotations

import pytest

from node.domain.errors import HandshakeFailed, StoreError


def test_a_new_installation_is_silent(store):
    operations = store.operations
    assert operations.live() == {}
    assert not operations.is_live("pacs")
    assert not operations.halted()


def test_one_destination_goes_live_by_itself(store):
    operations = store.operations
    operations.go_live("pacs", "Ada", "accepted")
    assert operations.is_live("pacs")
    assert not operations.is_live("archive")


def test_a_stop_halts_all_and_each_opens_again_by_itself(store):
    operations = store.operations
    operations.go_live("pacs", "Ada", "accepted")
    operations.go_live("archive", "Ada", "accepted")
    operations.stop("Bob", "something is wrong")
    assert operations.live() == {"archive": False, "pacs": False}
    assert operations.halted()
    operations.go_live("pacs", "Ada", "was nothing")
    assert operations.live() == {"archive": False, "pacs": True}
    assert not operations.halted()


def test_every_act_is_on_the_trail_newest_first(store, clock):
    store.operations.go_live("pacs", "Ada", "accepted")
    clock.advance(5)
    store.operations.stop("Bob", "look")
    store.operations.audit("Eve", "reprocess", "study 1", "why")
    trail = store.operations.audit_trail()
    assert [(act.by, act.action, act.subject, act.reason) for act in trail] == [
        ("Eve", "reprocess", "study 1", "why"),
        ("Bob", "stop", "every destination", "look"),
        ("Ada", "go-live", "pacs", "accepted"),
    ]
    assert trail[0].at == clock.now()
    assert len(store.operations.audit_trail(1)) == 1


@pytest.mark.parametrize(("by", "reason"), [("", "why"), ("Ada", " ")])
def test_an_act_without_name_or_reason_does_nothing(store, by, reason):
    with pytest.raises(StoreError, match="--by"):
        store.operations.go_live("pacs", by, reason)
    assert not store.operations.is_live("pacs")
    assert store.operations.audit_trail() == []


def test_a_model_version_stands_for_the_same_bytes(store):
    store.operations.register_model("covid", 1, "a", "b")
    store.operations.register_model("covid", 1, "a", "b")
    store.operations.register_model("covid", 2, "a", "c")
    assert store.operations.registered_models() == [("covid", 1, "b"), ("covid", 2, "c")]
    for spec, weights in (("a", "x"), ("x", "b")):
        with pytest.raises(HandshakeFailed, match="version 1"):
            store.operations.register_model("covid", 1, spec, weights)
