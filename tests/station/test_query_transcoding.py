"""Retrievals by peers that do not take what is stored as it is stored."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from node.dicom.part10 import part10_prefix
from node.dicom.read import read_header
from node.dicom.write import PhantomLabels, phantom_data_set, save
from node.dimse import suboperations
from node.dimse.scu import Remote, associate, read_instance
from node.domain.network import MoveDestination
from node.imaging.phantom import ThoraxPhantom
from tests.free_ports import free_port
from tests.hostile_frames import ends_its_process
from tests.journey.orthanc import Orthanc
from tests.station.finding_ground import VIEWER, Archive, answering
from tests.station.receiving_node import AE_TITLE, TIMEOUTS
from tests.station.retrieving_ground import SINK, Sink, counts, get, move, run

LABELS = PhantomLabels(identity="transcoding", signed=False)
STUDY = {"StudyInstanceUID": LABELS.study_instance_uid}
DAMAGED = LABELS.sop_instance_uid(3)
LOSSY = LABELS.sop_instance_uid(5)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One image in each transfer syntax, one of them compressed with loss."""
    folder = tmp_path_factory.mktemp("images")
    phantom = ThoraxPhantom(slices=8, rows=64)
    found = {}
    for index, syntax in enumerate(
        [ExplicitVRLittleEndian, JPEGLSLossless, JPEG2000Lossless, RLELossless, JPEGLosslessSV1]
    ):
        data_set = phantom_data_set(phantom, phantom.slice_at(index), index, LABELS)
        path = folder / f"{index}.dcm"
        save(data_set, path, ExplicitVRLittleEndian if syntax == JPEGLosslessSV1 else syntax)
        if syntax == JPEGLosslessSV1:
            subprocess.run(["dcmcjpeg", "+e1", path, path], check=True)
        found[LABELS.sop_instance_uid(index)] = path
    data_set = phantom_data_set(phantom, phantom.slice_at(5), 5, LABELS)
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = 8, 8, 7
    data_set.add_new(0x7FE00010, "OB", bytes(range(64)) * 64)
    save(data_set, folder / "5.dcm")
    subprocess.run(["dcmcjpeg", "+eb", "+un", folder / "5.dcm", folder / "5.dcm"], check=True)
    found[LOSSY] = folder / "5.dcm"
    return found


@pytest.fixture(scope="module")
def archive(
    tmp_path_factory: pytest.TempPathFactory, images: dict[str, Path], port: int
) -> Iterator[Archive]:
    destinations = [MoveDestination(ae_title=title, host="127.0.0.1", port=port) for title in (SINK, VIEWER)]
    with answering(tmp_path_factory.mktemp("transcoding") / "node", *destinations) as running:
        for path in images.values():
            running.add(read_header(path), path.read_bytes())
        yield running


def taken(sink: Sink, uid: str) -> Dataset:
    """Read what a sink was sent."""
    prefix = part10_prefix(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid=uid,
        transfer_syntax_uid=sink.syntaxes[uid],
    )
    return dcmread(io.BytesIO(prefix + sink.objects[uid]))


def check(found: dict[str, Dataset], images: dict[str, Path], *, but: frozenset[str] = frozenset()) -> None:
    assert found.keys() == images.keys() - but
    for uid, data_set in found.items():
        original = dcmread(images[uid])
        assert data_set.PatientName == original.PatientName
        np.testing.assert_array_equal(data_set.pixel_array, original.pixel_array)


@pytest.mark.parametrize(
    "syntaxes", [(ExplicitVRLittleEndian,), (ImplicitVRLittleEndian,), (RLELossless, ImplicitVRLittleEndian)]
)
def test_everything_is_got_in_what_the_peer_takes(
    archive: Archive, images: dict[str, Path], syntaxes: tuple[str, ...]
) -> None:
    sink = Sink()
    *_, (last, _) = get(archive, sink, *syntaxes, **STUDY)
    assert (last.Status, counts(last)) == (0x0000, (len(images), 0, 0))
    assert set(sink.syntaxes.values()) == set(syntaxes)
    check({uid: taken(sink, uid) for uid in sink.objects}, images)


def test_what_is_compressed_with_loss_is_not_compressed_again(
    archive: Archive, images: dict[str, Path]
) -> None:
    sink = Sink()
    *_, (last, failed) = get(archive, sink, JPEGLSLossless, **STUDY)
    assert (last.Status, counts(last)) == (0xB000, (len(images) - 1, 1, 0))
    assert failed.FailedSOPInstanceUIDList == LOSSY
    check({uid: taken(sink, uid) for uid in sink.objects}, images, but=frozenset({LOSSY}))
    sink = Sink()
    get(archive, sink, JPEGLSLossless, JPEGBaseline8Bit, **STUDY)
    assert sink.syntaxes[LOSSY] == JPEGBaseline8Bit


def test_everything_is_moved_to_a_destination_that_takes_no_codec(
    archive: Archive, images: dict[str, Path], port: int
) -> None:
    sink = Sink()
    with sink.listening(port, ImplicitVRLittleEndian):
        *_, (last, _) = move(archive, **STUDY)
    assert (last.Status, counts(last)) == (0x0000, (len(images), 0, 0))
    check({uid: taken(sink, uid) for uid in sink.objects}, images)


def test_everything_is_sent_in_what_a_destination_takes(images: dict[str, Path], port: int) -> None:
    instances = [read_instance(path) for path in images.values()]
    sink = Sink()
    remote = Remote(ae_title=SINK, host="127.0.0.1", port=port)
    needed = [instance.syntaxes for instance in instances]
    with (
        sink.listening(port, ImplicitVRLittleEndian, JPEGLSLossless),
        associate(remote, calling_ae_title="NODE", needed=needed, timeouts=TIMEOUTS) as association,
    ):
        assert all(association.send(instance).delivered for instance in instances)
    assert sink.syntaxes[LABELS.sop_instance_uid(1)] == JPEGLSLossless  # as it lies
    assert set(sink.syntaxes.values()) == {ImplicitVRLittleEndian, JPEGLSLossless}
    check({uid: taken(sink, uid) for uid in sink.objects}, images)


def test_an_image_that_ends_its_codec_fails_alone(tmp_path: Path, images: dict[str, Path]) -> None:
    hostile, sound = LABELS.sop_instance_uid(4), LABELS.sop_instance_uid(1)
    data_set = dcmread(images[hostile])
    data_set.add_new(0x7FE00010, "OB", encapsulate([ends_its_process()]))
    data_set["PixelData"].is_undefined_length = True
    data_set.save_as(tmp_path / "hostile.dcm", enforce_file_format=True)
    with answering(tmp_path / "node") as archive:
        for path in (tmp_path / "hostile.dcm", images[sound]):
            archive.add(read_header(path), path.read_bytes())
        sink = Sink()
        *_, (last, failed) = get(archive, sink, **STUDY)
    assert (last.Status, counts(last)) == (0xB000, (1, 1, 0))
    assert failed.FailedSOPInstanceUIDList == hostile
    assert set(sink.objects) == {sound}


@pytest.fixture
def damaged(tmp_path: Path, images: dict[str, Path]) -> Path:
    """An image of five frames, of which the last one is damaged."""
    path = tmp_path / "damaged.dcm"
    data_set = dcmread(images[DAMAGED])
    sound_frame = next(generate_frames(data_set.PixelData, number_of_frames=1))
    frames = [*[sound_frame] * 4, b"\x01\0\0\0" * 20]
    data_set.NumberOfFrames = len(frames)
    data_set.PixelData = encapsulate(frames)
    data_set.save_as(path, enforce_file_format=True)
    return path


def test_an_image_with_a_damaged_frame_fails_alone_however_many_are_before_it(
    tmp_path: Path, images: dict[str, Path], damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suboperations, "TRANSCODED_AT_ONCE", 1024)
    sound = [LABELS.sop_instance_uid(number) for number in (1, 2)]
    sink = Sink()
    with answering(tmp_path / "node") as archive:
        for path in (damaged, *(images[uid] for uid in sound)):
            archive.add(read_header(path), path.read_bytes())
        *_, (last, failed) = get(archive, sink, **STUDY)
    assert (last.Status, counts(last)) == (0xB000, (len(sound), 1, 0))
    assert failed.FailedSOPInstanceUIDList == DAMAGED
    check({uid: taken(sink, uid) for uid in sink.objects}, {uid: images[uid] for uid in sound})


def test_an_image_that_is_damaged_very_far_from_its_beginning_fails_alone(
    tmp_path: Path, images: dict[str, Path], damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the association, for its rest cannot follow: what is left goes on another one."""
    monkeypatch.setattr(suboperations, "TRANSCODED_AT_ONCE", 1024)
    monkeypatch.setattr(suboperations, "TRANSCODED_AHEAD", 1024)
    sound = [LABELS.sop_instance_uid(number) for number in (1, 2)]
    port = free_port()
    destination = MoveDestination(ae_title=SINK, host="127.0.0.1", port=port)
    sink = Sink()
    with answering(tmp_path / "node", destination) as archive, sink.listening(port, ImplicitVRLittleEndian):
        for path in (damaged, *(images[uid] for uid in sound)):
            archive.add(read_header(path), path.read_bytes())
        *_, (last, failed) = move(archive, **STUDY)
    assert (last.Status, counts(last)) == (0xB000, (len(sound), 1, 0))
    assert failed.FailedSOPInstanceUIDList == DAMAGED
    check({uid: taken(sink, uid) for uid in sink.objects}, {uid: images[uid] for uid in sound})


@pytest.mark.long
def test_dcmtk_gets_everything_without_a_codec(
    archive: Archive, images: dict[str, Path], tmp_path: Path
) -> None:
    where = ("-aet", VIEWER, "-aec", AE_TITLE, "127.0.0.1", str(archive.port))
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={LABELS.study_instance_uid}")
    run("getscu", "-S", "-od", str(tmp_path), *where, *keys, folder=tmp_path)
    check(by_uid(tmp_path), images)


@pytest.mark.long
def test_gdcm_moves_a_study(tmp_path: Path, port: int) -> None:
    phantom = ThoraxPhantom(slices=8, rows=64)
    save(
        phantom_data_set(phantom, phantom.slice_at(0), 0, LABELS), tmp_path / "0.dcm", ImplicitVRLittleEndian
    )
    moved = tmp_path / "moved"
    moved.mkdir()
    what = ("--move", "--studyroot", "--study", "--key", f"0020,000d={LABELS.study_instance_uid}")
    names = ("--aetitle", VIEWER, "--call", AE_TITLE, "--port-scp", str(port), "-o", str(moved))
    gdcmscu = str(Path(sys.executable).with_name("gdcmscu"))
    with answering(
        tmp_path / "node", MoveDestination(ae_title=VIEWER, host="127.0.0.1", port=port)
    ) as archive:
        archive.add(read_header(tmp_path / "0.dcm"), (tmp_path / "0.dcm").read_bytes())
        shown = run(gdcmscu, *names, *what, "127.0.0.1", str(archive.port), folder=moved)
    assert by_uid(moved).keys() == {LABELS.sop_instance_uid(0)}, shown
    check(by_uid(moved), {LABELS.sop_instance_uid(0): tmp_path / "0.dcm"})


@pytest.mark.long
def test_orthanc_fetches_everything(
    archive: Archive, images: dict[str, Path], port: int, tmp_path: Path
) -> None:
    orthanc = Orthanc(
        tmp_path / "orthanc",
        ae_title=VIEWER,
        node_port=archive.port,
        node_ae_title=AE_TITLE,
        more={"DicomPort": port, "AcceptedTransferSyntaxes": [ImplicitVRLittleEndian]},
    )
    try:
        asked = {"Level": "Study", "Query": STUDY}
        query = orthanc.post("/modalities/node/query", asked)["ID"]
        assert orthanc.get(f"/queries/{query}/answers") == ["0"]
        orthanc.post(f"/queries/{query}/answers/0/retrieve", {"TargetAet": VIEWER, "Synchronous": True})
        stored = orthanc.instances(LABELS.study_instance_uid)
        files = [dcmread(io.BytesIO(orthanc.file(instance))) for instance in stored]
        check({str(data_set.SOPInstanceUID): data_set for data_set in files}, images)
    finally:
        orthanc.stop()


def by_uid(folder: Path) -> dict[str, Dataset]:
    return {str(data_set.SOPInstanceUID): data_set for data_set in map(dcmread, folder.iterdir())}
