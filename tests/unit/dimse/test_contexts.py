"""What is negotiated."""

from __future__ import annotations

import pytest
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPIPHTJ2KReferenced,
)
from pynetdicom.presentation import build_context, negotiate_as_acceptor

from node.dimse.contexts import (
    KINDS_PER_ASSOCIATION,
    STORAGE_SOP_CLASSES,
    TRANSFER_SYNTAXES,
    Syntaxes,
    proposed_contexts,
    supported_contexts,
)
from node.dimse.scu import StoredInstance, batches
from node.domain.network import Right

VERIFICATION = "1.2.840.10008.1.1"
EVERY_RIGHT = frozenset(Right)


def proposal(*pairs):
    contexts = []
    for number, (uid, syntaxes) in enumerate(pairs):
        context = build_context(uid, list(syntaxes))
        context.context_id = 2 * number + 1
        contexts.append(context)
    return contexts


def negotiated(rights, *pairs):
    proposed = proposal(*pairs)
    results, _ = negotiate_as_acceptor(proposed, supported_contexts(proposed, rights))
    return [(cx.result, str(cx.transfer_syntax[0])) for cx in sorted(results, key=lambda cx: cx.context_id)]


def test_lossless_and_explicit_are_preferred_in_whatever_order_they_are_proposed():
    offered = [JPEGBaseline8Bit, ImplicitVRLittleEndian, ExplicitVRLittleEndian]

    assert negotiated(EVERY_RIGHT, (CTImageStorage, offered)) == [(0x00, ExplicitVRLittleEndian)]


def test_each_context_is_answered_by_its_right():
    pairs = [(VERIFICATION, [ImplicitVRLittleEndian]), (CTImageStorage, [JPEG2000Lossless])]

    assert [code for code, _ in negotiated(EVERY_RIGHT, *pairs)] == [0x00, 0x00]
    assert [code for code, _ in negotiated({Right.ECHO}, *pairs)] == [0x00, 0x03]
    assert [code for code, _ in negotiated({Right.STORE}, *pairs)] == [0x03, 0x00]
    assert [code for code, _ in negotiated((), *pairs)] == [0x03, 0x03]


def test_what_holds_no_object_is_not_taken():
    find = "1.2.840.10008.5.1.4.1.2.2.1"
    results = negotiated(
        EVERY_RIGHT, (find, [ImplicitVRLittleEndian]), (CTImageStorage, [JPIPHTJ2KReferenced])
    )

    assert [code for code, _ in results] == [0x03, 0x04]  # PS3.8 table 9-18


def test_the_tables_are_whole():
    assert len(TRANSFER_SYNTAXES) == len(set(TRANSFER_SYNTAXES)) >= 35
    assert {CTImageStorage, "1.2.840.10008.5.1.4.1.1.5", "1.3.12.2.1107.5.9.1"} <= STORAGE_SOP_CLASSES
    assert VERIFICATION not in STORAGE_SOP_CLASSES


def kind(uid: str, syntax: str) -> Syntaxes:
    return Syntaxes(sop_class_uid=uid, transfer_syntax_uid=syntax)


def test_exactly_what_is_sent_is_proposed():
    needed = [kind(CTImageStorage, ExplicitVRLittleEndian), kind(CTImageStorage, JPEG2000Lossless)] * 3

    def found(*, as_stored: bool) -> list[tuple[str, ...]]:
        contexts = proposed_contexts(needed, as_stored=as_stored)
        return sorted((str(cx.abstract_syntax), *map(str, cx.transfer_syntax)) for cx in contexts)

    for_both = (CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    assert found(as_stored=False) == [for_both, (CTImageStorage, JPEG2000Lossless)]
    assert found(as_stored=True) == [
        (CTImageStorage, ExplicitVRLittleEndian),
        for_both,
        (CTImageStorage, JPEG2000Lossless),
    ]
    implicit = proposed_contexts([kind(CTImageStorage, ImplicitVRLittleEndian)])
    assert [cx.transfer_syntax for cx in implicit] == [
        [ImplicitVRLittleEndian],
        [ImplicitVRLittleEndian, ExplicitVRLittleEndian],
    ]


def test_more_kinds_than_one_association_carries_are_split(tmp_path):
    instances = [
        StoredInstance(
            path=tmp_path / str(number),
            sop_class_uid=f"1.2.{number}",
            sop_instance_uid=f"1.3.{number}",
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        for number in range(2 * KINDS_PER_ASSOCIATION + 1)
    ]

    split = list(batches(instances * 1))

    assert [item for batch in split for item in batch] == instances
    assert [len(proposed_contexts(item.syntaxes for item in batch)) for batch in split] == [128, 128, 2]
    assert list(batches([])) == []
    with pytest.raises(ValueError, match="258"):
        proposed_contexts(item.syntaxes for item in instances)
