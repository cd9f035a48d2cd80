"""What one peer, one object or one full disk does to the others: nothing."""

from __future__ import annotations

import socket

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.association import Association

from node.dimse.entity import application_entity
from node.dimse.scu import echo
from node.domain.errors import OutOfSpace
from node.domain.study import AssociationEnd
from node.receive.storage import StorageService
from tests.station.receiving_node import (
    AE_TITLE,
    SCANNER,
    TIMEOUTS,
    Receiving,
    WallClock,
    wait_until,
    write_instance,
)


def open_association(node: Receiving) -> Association:
    """Open an association for CT."""
    entity = application_entity(SCANNER, timeouts=TIMEOUTS)
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    return entity.associate("127.0.0.1", node.port, ae_title=AE_TITLE)


def test_connections_that_say_nothing_take_no_place_from_those_that_do(receiving_node):
    node = receiving_node(max_associations=4, acse_seconds=DEAD_SILENCE)
    silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(16)]
    try:
        wait_until(lambda: node.listener.connections == 16, "all are accepted")
        echo(node.remote, calling_ae_title=SCANNER, timeouts=TIMEOUTS)
    finally:
        for connection in silent:
            connection.close()


def test_as_many_associations_as_the_settings_say(receiving_node):
    node = receiving_node(max_associations=13)
    opened = [open_association(node) for _ in range(13)]
    assert all(association.is_established for association in opened)
    assert open_association(node).is_rejected
    for association in opened:
        association.release()


@pytest.mark.parametrize("sop_class", ["31", "1.2.840.10008.5.1.4.1.1.4"])
def test_an_object_of_another_class_than_its_context_is_refused_alone(receiving, tmp_path, sop_class):
    path, _ = write_instance(tmp_path / "bad.dcm", 1)
    bad = dcmread(path)
    bad.SOPClassUID = bad.file_meta.MediaStorageSOPClassUID = sop_class
    good = dcmread(write_instance(tmp_path / "good.dcm", 2)[0])
    association = open_association(receiving)
    [context] = association.accepted_contexts
    context.abstract_syntax = sop_class  # on this side only: the request names what was not negotiated
    assert association.send_c_store(bad).Status == 0xA900
    context.abstract_syntax = CTImageStorage
    assert association.send_c_store(good).Status == 0x0000
    association.release()
    assert receiving.instance_count() == 1
    wait_until(lambda: receiving.ends() == ["released"], "the association went on to its end")


def test_the_end_of_an_association_is_recorded_once_the_disk_has_room_again(receiving):
    class FullDisk:
        """The index of a node whose disk is full for a while."""

        full = True

        def association_opened(self, calling_ae_title: str, address: str) -> int:
            return receiving.records.association_opened(calling_ae_title, address)

        def association_closed(self, association_id: int, end: AssociationEnd) -> None:
            if self.full:
                raise OutOfSpace("no room is left for the index")
            receiving.records.association_closed(association_id, end)

    records = FullDisk()
    service = StorageService(files=receiving.files, records=records, clock=WallClock())
    number = records.association_opened(SCANNER, "127.0.0.1")
    with pytest.raises(OutOfSpace):
        service.closed(number, AssociationEnd.RELEASED)
    assert receiving.ends() == [None]
    records.full = False
    service.record_ends()
    assert receiving.ends() == ["released"], "else its series stays open for ever"


DEAD_SILENCE = 10.0
"""Seconds that a silent connection may last here: longer than the test."""
