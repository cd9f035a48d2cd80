"""A process that adds objects to a store and prints the name of each one that is acknowledged.

Run as ``python store_adding_child.py ROOT FIRST COUNT THREADS``; thread n of them adds the numbers
FIRST + n, FIRST + n + THREADS and so on.
"""

from __future__ import annotations

import os
import sys
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path

from node.domain.identity import PatientKey
from node.domain.study import Arrival, InstanceHeader
from node.store.store import Store, open_store


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return datetime.now(UTC).timestamp()


class RandomTokens:
    def uid(self) -> str:
        return f"2.25.{uuid.uuid4().int}"

    def token(self) -> str:
        return uuid.uuid4().hex


def header(number: int) -> InstanceHeader:
    return InstanceHeader(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid=f"1.2.826.0.1.1.{number}",
        study_instance_uid=f"1.2.826.0.1.2.{number // 50}",
        series_instance_uid=f"1.2.826.0.1.3.{number // 50}",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        patient=PatientKey(patient_id="P"),
        patient_name="",
        patient_birth_date="",
        patient_sex="",
        patient_age_years=None,
        study_date="",
        study_time="",
        study_id="",
        accession_number="",
        study_description="",
        modality="CT",
        body_part_examined="",
        series_number=1,
        series_description="",
        convolution_kernel="",
        frame_of_reference_uid="",
        image_type=(),
        instance_number=number,
        acquisition_number=None,
        rows=512,
        columns=512,
        number_of_frames=1,
        samples_per_pixel=1,
        bits_allocated=16,
        photometric_interpretation="MONOCHROME2",
        rescale_known=True,
        gantry_tilt=None,
        station_name="",
        manufacturer="",
        device_uids=(),
        frames=(),
    )


def add(store: Store, number: int) -> None:
    with store.files.spool() as spooled:
        spooled.stream.write(b"object %d " % number)
        spooled.stream.write(bytes(20_000))
        stored = spooled.commit()
    store.intake.add(
        Arrival(
            header=header(number),
            object_key=stored.key,
            sha256=stored.sha256,
            size=stored.size,
            received_at=datetime.now(UTC),
            calling_ae_title="CT1",
            association_id=None,
        )
    )
    os.write(1, f"{number} {stored.key}\n".encode())


def main(root: Path, first: int, count: int, threads: int) -> None:
    store = open_store(root, clock=WallClock(), uids=RandomTokens())

    def work(offset: int) -> None:
        for number in range(first + offset, first + count, threads):
            add(store, number)

    others = [threading.Thread(target=work, args=(offset,)) for offset in range(1, threads)]
    for thread in others:
        thread.start()
    work(0)
    for thread in others:
        thread.join()
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:]))
