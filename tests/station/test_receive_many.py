"""Many associations at once, and requests that come while others are served."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

from pydicom import dcmread

from node.dimse.entity import Timeouts
from node.dimse.scu import associate, read_instance
from tests.station.receiving_node import SCANNER, wait_until, write_instance

AT_ONCE = 64
PATIENT = Timeouts(connect=60.0, acse=60.0, dimse=60.0, network=60.0)


def test_as_many_associations_as_are_admitted_store_at_once_without_a_failure(receiving_node, tmp_path):
    node = receiving_node(max_associations=AT_ONCE, idle_seconds=60.0, acse_seconds=60.0, dimse_seconds=60.0)
    template = dcmread(write_instance(tmp_path / "template.dcm", pixel_bytes=128)[0])
    paths = []
    for number in range(AT_ONCE):
        template.SOPInstanceUID = template.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        template.InstanceNumber = number
        template.save_as(path := tmp_path / f"{number}.dcm")
        paths.append(path)
    all_open = threading.Barrier(AT_ONCE, timeout=60.0)

    def send(number: int) -> bool:
        instance = read_instance(paths[number])
        with associate(
            node.remote, calling_ae_title=SCANNER, needed=[instance.syntaxes], timeouts=PATIENT
        ) as association:
            all_open.wait()
            return association.send(instance).delivered

    with ThreadPoolExecutor(AT_ONCE) as threads:
        assert list(threads.map(send, range(AT_ONCE))) == [True] * AT_ONCE

    rows = dict(node.rows("SELECT sop_instance_uid, sha256 FROM instances"))
    assert set(rows) == {f"1.2.3.{number}" for number in range(AT_ONCE)}
    for sha256 in rows.values():
        assert hashlib.sha256(node.files.path(sha256).read_bytes()).hexdigest() == sha256
    assert node.spooled() == []
    wait_until(lambda: node.ends() == ["released"] * AT_ONCE, "every association ended as it should")
