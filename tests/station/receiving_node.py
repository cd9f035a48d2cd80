"""Ground of the station tests: a node that receives, on real SQLite and loopback, and objects made here."""

from __future__ import annotations

import functools
import itertools
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from node.dimse.admission import Admission, Gate
from node.dimse.entity import Timeouts
from node.dimse.listening import Listener
from node.dimse.scu import Remote, associate, read_instance
from node.dimse.status import Meaning
from node.domain.identity import derived_uid
from node.domain.network import ListenLimits, Peer, Right, TlsListen
from node.receive.storage import StorageService
from node.store.database import Database
from node.store.intake import IntakeRecords
from node.store.object_files import LocalObjectFiles

AE_TITLE = "GROUNDGLASS"
SCANNER = "CT1"
DEADLINE = 10.0
TIMEOUTS = Timeouts(connect=5.0, acse=5.0, dimse=10.0, network=10.0)
LIMITS = ListenLimits(
    max_associations=10,
    max_pdu=131072,
    max_object_bytes=1 << 20,
    idle_seconds=5.0,
    acse_seconds=2.0,
    dimse_seconds=5.0,
)
PEERS = (
    Peer(ae_title=SCANNER, addresses=("127.0.0.1",), rights=frozenset({Right.STORE, Right.ECHO})),
    Peer(ae_title="MONITOR", addresses=("127.0.0.0/8",), rights=frozenset({Right.ECHO})),
    Peer(ae_title="ELSEWHERE", addresses=("192.0.2.7",), rights=frozenset({Right.STORE, Right.ECHO})),
)


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class CountedUids:
    def __init__(self) -> None:
        self._count = itertools.count(1)
        self._lock = threading.Lock()

    def _next(self) -> int:
        with self._lock:
            return next(self._count)

    def uid(self) -> str:
        return derived_uid("test", str(self._next()))

    def token(self) -> str:
        return f"{self._next():08x}"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition with a deadline; the event never fires, its wait yields the processor."""
    never = threading.Event()
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE} s: {what}"
        never.wait(0.005)


@dataclass(frozen=True)
class Receiving:
    """A node that receives, without the stations behind."""

    root: Path
    database: Database
    files: LocalObjectFiles
    records: IntakeRecords
    listener: Listener
    remote: Remote

    @property
    def port(self) -> int:
        return self.remote.port

    def rows(self, query: str) -> list[tuple]:
        with self.database.read() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    def stored(self, sop_instance_uid: str) -> tuple[bytes, str]:
        """Return the stored file and the digest in its row."""
        [(key, sha256)] = self.rows(
            f"SELECT object_key, sha256 FROM instances WHERE sop_instance_uid = '{sop_instance_uid}'"
        )
        return self.files.path(key).read_bytes(), sha256

    def spooled(self) -> list[Path]:
        return list((self.root / "spool").iterdir())

    def instance_count(self) -> int:
        return self.rows("SELECT count(*) FROM instances")[0][0]

    def ends(self) -> list[str | None]:
        return [row[0] for row in self.rows('SELECT "end" FROM associations ORDER BY id')]


@functools.cache
def migrated_index() -> bytes:
    """Return an empty index after all migrations; made once, for they take longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.sqlite"
        Database.open(f"sqlite:///{path}", clock=WallClock()).close()
        return path.read_bytes()


def start_receiving(
    root: Path,
    gate: Gate | None = None,
    *,
    sweep: bool = False,
    tls: TlsListen | None = None,
    **limits: object,
) -> Receiving:
    """Start a receiving node; ``sweep`` removes what a killed one left, other keywords replace limits."""
    clock = WallClock()
    files = LocalObjectFiles(root, CountedUids())
    if sweep:
        files.sweep_spool()
    if not (root / "index.sqlite").exists():
        (root / "index.sqlite").write_bytes(migrated_index())
    database = Database.open(f"sqlite:///{root / 'index.sqlite'}", clock=clock)
    records = IntakeRecords(database, files)
    listener = Listener(
        ae_title=AE_TITLE,
        host="127.0.0.1",
        port=0,
        limits=replace(LIMITS, **limits),
        gate=gate or Admission(AE_TITLE, PEERS),
        services=StorageService(files=files, records=records, clock=clock),
        clock=clock,
        tls=tls,
    )
    return Receiving(
        root=root,
        database=database,
        files=files,
        records=records,
        listener=listener,
        remote=Remote(ae_title=AE_TITLE, host="127.0.0.1", port=listener.start()),
    )


def write_instance(
    path: Path,
    number: int = 1,
    *,
    transfer_syntax: str = ExplicitVRLittleEndian,
    sop_class: str = CTImageStorage,
    pixel_bytes: int = 64 * 64 * 2,
    study: str = "1",
    patient_id: str = "P1",
    issuer: str = "",
) -> tuple[Path, str]:
    """Write a small object; return its path and SOP Instance UID. Compressed pixels are noise."""
    syntax = UID(transfer_syntax)
    uid = derived_uid("test", "instance", study, str(number), str(syntax), str(sop_class))
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = uid
    dataset.StudyInstanceUID = derived_uid("test", "study", study)
    dataset.SeriesInstanceUID = derived_uid("test", "series", study)
    dataset.PatientID = patient_id
    if issuer:
        dataset.IssuerOfPatientID = issuer
    dataset.PatientName = "Test^Person"
    dataset.StudyDate = "20240102"
    dataset.Modality = "CT"
    dataset.InstanceNumber = number
    dataset.Rows, dataset.Columns = 64, pixel_bytes // 128
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 1, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.RescaleIntercept, dataset.RescaleSlope = "-1024", "1"
    dataset.ImagePositionPatient = [0, 0, number]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [0.7, 0.7]
    pixels = bytes((index * 37 + number) % 251 for index in range(pixel_bytes))
    dataset.add_new(0x7FE00010, "OW", encapsulate([pixels]) if syntax.is_encapsulated else pixels)
    dataset["PixelData"].is_undefined_length = syntax.is_encapsulated
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.file_meta.TransferSyntaxUID = syntax
    dcmwrite(
        path,
        dataset,
        enforce_file_format=True,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
    )
    return path, uid


def send_files(remote: Remote, *paths: Path, calling_ae_title: str = SCANNER) -> list[Meaning]:
    """Send files in one association; return what the peer answered to each."""
    instances = [read_instance(path) for path in paths]
    with associate(
        remote,
        calling_ae_title=calling_ae_title,
        needed=[instance.syntaxes for instance in instances],
        timeouts=TIMEOUTS,
    ) as association:
        return [association.send(instance) for instance in instances]
