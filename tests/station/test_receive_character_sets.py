"""Patients' names from the wire into the index and into what the results carry, in every character set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from node.dicom.compare import Likeness, compare
from node.dicom.pixel_file import IN_PROCESS
from node.dicom.read import read_dataset
from node.report.inherited import inherit
from tests.station.receiving_node import Receiving, send_files, write_instance

NAMES = {
    "ISO_IR 192": "Müller^Zoë=山田^太郎",
    "ISO_IR 100": "Buc^Jérôme",
    "ISO_IR 144": "Люкceмбypг",
    "ISO_IR 126": "Διονυσιος",
    "ISO_IR 127": "قباني^لنزار",
    "ISO_IR 138": "שרון^דבורה",
    "GB18030": "Wang^XiaoDong=王^小东",
    "GBK": "Wang^XiaoDong=王^小东",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "\\ISO 2022 IR 159": "Yamada=丂",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
}


def written(folder: Path, number: int, terms: str, name: str, *, issuer: str = "") -> tuple[Path, str]:
    path, uid = write_instance(folder / f"{number}.dcm", study=f"named {number}", pixel_bytes=128)
    data_set = pydicom.dcmread(path)
    data_set.SpecificCharacterSet = terms.split("\\")
    data_set.PatientName = name
    data_set.IssuerOfPatientID = issuer
    data_set.TimezoneOffsetFromUTC = "+0530"
    data_set.save_as(path)
    return path, uid


@pytest.fixture
def sent(receiving: Receiving, tmp_path: Path) -> tuple[Receiving, list[str]]:
    made = [written(tmp_path, number, *item) for number, item in enumerate(NAMES.items())]
    assert all(answer.delivered for answer in send_files(receiving.remote, *(path for path, _ in made)))
    return receiving, [uid for _, uid in made]


def test_every_name_stands_in_the_index_and_in_the_results_as_it_was(
    sent: tuple[Receiving, list[str]], tmp_path: Path
) -> None:
    receiving, uids = sent
    indexed = [row[0] for row in receiving.rows("SELECT patient_name FROM studies ORDER BY id")]
    assert indexed == list(NAMES.values())
    for uid, name in zip(uids, NAMES.values(), strict=True):
        path = tmp_path / "stored.dcm"
        path.write_bytes(receiving.stored(uid)[0])
        carried = inherit(read_dataset(path))
        assert str(carried.PatientName) == name
        carried.SpecificCharacterSet = "ISO_IR 192"
        carried.save_as(tmp_path / "result.dcm", implicit_vr=False, little_endian=True)
        again = pydicom.dcmread(tmp_path / "result.dcm", force=True)
        assert str(again.PatientName) == name


def test_another_encoding_of_the_same_name_is_the_same_object(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for number, (terms, name) in enumerate(NAMES.items()):
        one, _ = written(tmp_path, number, terms, name)
        other, _ = written(tmp_path / "b", number, "ISO_IR 192", name)
        assert compare(one, other, IN_PROCESS).likeness is Likeness.SAME, terms


def test_one_number_of_two_issuers_is_of_two_patients(
    receiving_node: Callable[..., Receiving], tmp_path: Path
) -> None:
    receiving = receiving_node()
    first, _ = written(tmp_path, 1, "ISO_IR 192", "Doe^Jane", issuer="NORTH")
    second, _ = written(tmp_path, 2, "ISO_IR 192", "Doe^Jane", issuer="SOUTH")
    assert all(answer.delivered for answer in send_files(receiving.remote, first, second))
    assert receiving.rows("SELECT patient_id, issuer FROM patients ORDER BY issuer") == [
        ("P1", "NORTH"),
        ("P1", "SOUTH"),
    ]
