"""Queries of a node that holds many studies, of one image each: whether finding one takes as long among more.

``python -m benchmarks.finding --kit FOLDER --work FOLDER [--sizes 1000,10000,100000] [--out tables.md]``

For each size the index of an empty store is filled by statements, without the objects, which none of these
queries reads; a node is started on it and asked by the client of the kit of `benchmarks.peers`. DICOMweb is
off. The store is removed before the next one is made: 100,000 studies take 92 MB.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import insert

from benchmarks.peers import LOOPBACK, running_node
from node.app import RandomUids, SystemClock
from node.decide.matching import sought_name
from node.domain.study import SeriesState, StudyState, Verdict
from node.store.schema import instances, patients, series, studies
from node.store.store import open_store

AE_TITLE: Final = "GROUNDGLASS"
STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
LEVEL, PATIENT_NAME, PATIENT_ID = (0x0008, 0x0052), (0x0010, 0x0010), (0x0010, 0x0020)
STUDY_DATE, STUDY_UID = (0x0008, 0x0020), (0x0020, 0x000D)
MODALITIES = (0x0008, 0x0061)
RETURNED: Final = {
    **dict.fromkeys([STUDY_DATE, (0x0008, 0x0030), (0x0008, 0x0050), (0x0008, 0x1030), PATIENT_NAME], ""),
    **dict.fromkeys([PATIENT_ID, (0x0010, 0x0030), (0x0010, 0x0040), STUDY_UID, (0x0020, 0x0010)], ""),
    LEVEL: "STUDY",
}
SURNAMES: Final = (
    "GARCIA",
    "MUELLER",
    "SMITH",
    "TANAKA",
    "ROSSI",
    "DUBOIS",
    "IVANOV",
    "NOVAK",
    "SILVA",
    "KIM",
)
FIRST_DAY: Final = date(2015, 1, 1)
DAYS: Final = 3650
ROWS: Final = 5000
"""Studies in one transaction."""
QUERIES: Final[Mapping[str, tuple[int, Any]]] = {
    "PatientID": (40, lambda number: {PATIENT_ID: patient_id(number)}),
    "StudyInstanceUID": (40, lambda number: {STUDY_UID: study_uid(number)}),
    "PatientID, modalities": (40, lambda number: {PATIENT_ID: patient_id(number), MODALITIES: ""}),
    "one day": (10, lambda number: {STUDY_DATE: f"{FIRST_DAY + timedelta(days=number % DAYS):%Y%m%d}"}),
    "30 days": (5, lambda _: {STUDY_DATE: "20180101-20180130"}),
    "name with wild card": (3, lambda _: {PATIENT_NAME: "GARCIA*"}),
    "all studies": (3, lambda _: {}),
}
"""Name -> how often it is asked, and its keys for a study."""


def main() -> None:
    """Measure and print a table."""
    arguments = _arguments()
    sys.path.insert(0, str(arguments.kit))
    found: dict[int, dict[str, tuple[float, float, int]]] = {}
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory(prefix="finding-", dir=arguments.work) as folder:
            fill(Path(folder) / "data", size)
            log = arguments.work / "node-finding.log"
            with running_node(Path(folder), log=log, web=False) as node:
                found[size] = measured(node.dicom, size)
    text = table(found)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text, encoding="utf-8")


def patient_id(number: int) -> str:
    """Return the PatientID of a study."""
    return f"P{number:09d}"


def study_uid(number: int) -> str:
    """Return the UID of a study."""
    return f"2.25.1{number:09d}"


def fill(folder: Path, size: int) -> None:
    """Make an index of so many studies, all of them settled, without their objects."""
    store = open_store(folder, clock=SystemClock(), uids=RandomUids())
    try:
        for start in range(1, size + 1, ROWS):
            rows = [list(_rows(number, store.database.clock.now())) for number in range(start, start + ROWS)]
            with store.database.write() as connection:
                for at, target in enumerate((patients, studies, series, instances)):
                    connection.execute(insert(target), [row[at] for row in rows[: size + 1 - start]])
    finally:
        store.close()


def _rows(number: int, now: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of one study in ``patients``, ``studies``, ``series`` and ``instances``."""
    chance = random.Random(number)
    name = f"{chance.choice(SURNAMES)}^{number:09d}"
    arrived = {"first_arrival_at": now, "last_arrival_at": now}
    yield {"id": number, "patient_id": patient_id(number), "issuer": ""}
    yield {
        "id": number,
        "patient_key": number,
        "study_instance_uid": study_uid(number),
        "state": StudyState.SETTLED,
        "patient_name": name,
        "patient_birth_date": "19700101",
        "patient_sex": "O",
        "accession_number": f"ACC{number:09d}",
        "study_date": f"{FIRST_DAY + timedelta(days=chance.randrange(DAYS)):%Y%m%d}",
        "study_time": "120000",
        "study_description": "CT CHEST SYNTH",
        "study_id_text": "1",
        "sought_name": sought_name(name),
        **arrived,
    }
    yield {
        "id": number,
        "study_id": number,
        "series_instance_uid": f"2.25.2{number:09d}",
        "modality": "CT",
        "series_number": 1,
        "series_description": "AXIAL 1.0",
        "state": SeriesState.COMPLETE,
        "verdict": Verdict.QUIET,
        "verdict_reason": "filled in",
        "instance_count": 1,
        "calling_ae_title": "CT1",
        **arrived,
    }
    yield {
        "id": number,
        "series_id": number,
        "sop_instance_uid": f"2.25.3{number:09d}",
        "sop_class_uid": CT_IMAGE_STORAGE,
        "object_key": f"{number:064x}",
        "sha256": f"{number:064x}",
        "size": 1000,
        "received_at": now,
        "calling_ae_title": "CT1",
        "header": "{}",
    }


def measured(port: int, size: int) -> dict[str, tuple[float, float, int]]:
    """Return for each query the median seconds of the first answer and of all, and the number of matches."""
    from peerkit.dimse import SUCCESS, Association  # of the kit  # noqa: PLC0415 -- where `main` looks

    found = {}
    contexts = [(STUDY_ROOT_FIND, IMPLICIT_LITTLE_ENDIAN)]
    for name, (times, keys) in QUERIES.items():
        with Association(LOOPBACK, port, AE_TITLE, contexts) as association:
            answers = [association.find(RETURNED | keys(turn * 7919 % size + 1)) for turn in range(times)]
        if any(answer.status != SUCCESS for answer in answers):
            raise SystemExit(f"{name}: the node answered {answers[0].status:04X}; see its log in --work")
        first = statistics.median(answer.first_s for answer in answers if answer.matches)
        found[name] = first, statistics.median(answer.total_s for answer in answers), answers[0].matches
    return found


def table(found: Mapping[int, Mapping[str, tuple[float, float, int]]]) -> str:
    """Return a table in Markdown: the milliseconds of each query at each size."""
    lines = [
        f"| query | {' | '.join(f'{size:,} studies' for size in found)} |",
        f"|---|{'---|' * len(found)}",
    ]
    for name in QUERIES:
        cells = [_cell(*figures[name]) for figures in found.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _cell(first: float, total: float, matches: int) -> str:
    if matches <= 1:
        return f"{total * 1e3:.2f} ms"
    return f"first {first * 1e3:.1f}, all {matches:,} in {total * 1e3:.1f} ms ({matches / total:,.0f}/s)"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kit", type=Path, required=True, help="folder of the kit")
    parser.add_argument("--work", type=Path, default=Path(), help="folder for the stores (this one)")
    parser.add_argument("--sizes", default="1000,10000,100000", help="studies held (1000,10000,100000)")
    parser.add_argument("--out", type=Path, help="file for the table")
    arguments = parser.parse_args()
    arguments.sizes = [int(size) for size in arguments.sizes.split(",")]
    return arguments


if __name__ == "__main__":
    main()
