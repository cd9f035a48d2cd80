"""A map, which lies deflated, at servers of DICOMweb as they are: Orthanc's and the node's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from node.domain.delivery import OutgoingObject
from node.domain.network import SecretSource
from node.domain.result import ResultKind
from node.report.build import build_results
from tests.free_ports import free_port
from tests.journey.orthanc import Orthanc
from tests.station.proof_ground import sender
from tests.station.stow_ground import TOKEN, serving
from tests.station.web_ground import always, outgoing, stow
from tests.unit.report.test_parametric_map import slices, whole

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


@pytest.fixture(scope="module")
def lying(tmp_path_factory: pytest.TempPathFactory) -> OutgoingObject:
    """Return a map of a whole series, as it lies in the outbox."""
    made = next(item for item in build_results(whole(slices())) if item.kind is ResultKind.PARAMETRIC_MAP)
    path = tmp_path_factory.mktemp("map") / "map.dcm"
    path.write_bytes(made.data)
    header = dcmread(path, stop_before_pixels=True)
    assert header.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    return replace(
        outgoing(path, study=header.StudyInstanceUID),
        kind=ResultKind.PARAMETRIC_MAP,
        sop_class_uid=header.SOPClassUID,
        sop_instance_uid=header.SOPInstanceUID,
        transfer_syntax_uid=DeflatedExplicitVRLittleEndian,
        series_instance_uid=header.SeriesInstanceUID,
    )


def same(path: Path, lying: OutgoingObject) -> bool:
    """Whether a file holds the same data set, in whatever syntax."""
    return dcmread(path) == dcmread(lying.path)


def test_the_node_takes_it_as_it_lies(lying: OutgoingObject, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with serving(tmp_path / "data") as web:
        to = stow(web.base, token=SecretSource(file=tmp_path / "token"))
        (reply,) = to.send([lying], may_leave=always)
        assert reply.delivered, reply.detail
        assert web.stored() == {lying.sop_instance_uid}
        (kept,) = (web.root / "objects").rglob("*.dcm")
        assert kept.read_bytes() == lying.path.read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("way", ["stow", "c-store"])
@pytest.mark.parametrize("takes", [DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_orthanc_has_it_whole(way: str, takes: str, lying: OutgoingObject, tmp_path: Path) -> None:
    """Over associations it is set to take no deflated data sets; by STOW-RS it takes all."""
    more = {"Plugins": [PLUGIN], "AcceptedTransferSyntaxes": sorted({takes, ExplicitVRLittleEndian})}
    orthanc = Orthanc(tmp_path / "pacs", node_port=free_port(), node_ae_title="GROUNDGLASS", more=more)
    try:
        to = (
            stow(f"http://127.0.0.1:{orthanc.http_port}/dicom-web")
            if way == "stow"
            else sender(orthanc.dicom_port)
        )
        (reply,) = to.send([lying], may_leave=always)
        assert reply.delivered, reply.detail
        (instance,) = orthanc.find(SOPInstanceUID=lying.sop_instance_uid)
        kept = tmp_path / "kept.dcm"
        kept.write_bytes(orthanc.file(instance["ID"]))
    finally:
        orthanc.stop()
    assert same(kept, lying)
    syntax = dcmread(kept, stop_before_pixels=True).file_meta.TransferSyntaxUID
    assert syntax == (DeflatedExplicitVRLittleEndian if way == "stow" else takes)
