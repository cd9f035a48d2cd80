"""What archives answer, well or badly, becomes records or nothing; and an object is cut out of its answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from node.domain.errors import DestinationRefused
from node.pull.first_part import MOST_HEAD_BYTES, dicom_content
from node.pull.matches import (
    INSTANCE_KEYS,
    SERIES_KEYS,
    STUDY_KEYS,
    instance_of,
    json_values,
    series_of,
    study_of,
    values_of,
)

MULTIPART = 'multipart/related; type="application/dicom"; boundary="a-b"'
TAGS = ["0020000D", "0020000E", "00080018", "00201209"]
BEFORE = st.sampled_from([b"", b"\r\n", b"x\r\n"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def chunks(data: bytes, size: int) -> list[bytes]:
    return [data[begin : begin + size] for begin in range(0, len(data), size)]


def test_a_match_of_c_find_is_read_in_its_own_characters() -> None:
    match = Dataset()
    match.SpecificCharacterSet = "ISO_IR 100"
    match.StudyInstanceUID = "1.2.3"
    match.ModalitiesInStudy = ["CT", "SR"]
    match.PatientID = "P1 "
    text = "Lunge nüchtern".encode("latin-1")
    match[0x00081030] = RawDataElement(BaseTag(0x00081030), "LO", len(text), text, 0, False, True)
    match.NumberOfStudyRelatedInstances = 12
    study = study_of(values_of(match, STUDY_KEYS))
    assert (study.study_description, study.modalities) == ("Lunge nüchtern", ("CT", "SR"))
    assert (study.patient_id, study.accession_number, study.instance_count) == ("P1", "", 12)


def test_a_match_of_qido_is_read() -> None:
    match = {
        "0020000E": {"vr": "UI", "Value": ["1.2.3.4"]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00201209": {"vr": "IS", "Value": [300]},
        "0008103E": {"vr": "LO"},
    }
    series = series_of(json_values(match, SERIES_KEYS), "1.2.3")
    assert (series.series_instance_uid, series.modality, series.instance_count) == ("1.2.3.4", "CT", 300)
    assert series.series_description == ""


@given(
    st.dictionaries(st.sampled_from(["0020000D", "0020000E", "00080018", "00201209"]), anything) | anything
)
def test_whatever_qido_answers_is_read_or_left_out(match: object) -> None:
    for keys, read in ((STUDY_KEYS, study_of), (INSTANCE_KEYS, instance_of)):
        found = read(json_values(match, keys))
        assert found is None or isinstance(match, dict)
    series_of(json_values(match, SERIES_KEYS), "1.2")


@given(
    content=st.binary(max_size=200),
    size=st.integers(1, 40),
    preamble=st.sampled_from([b"", b"\r\n", b"x\r\n"]),
)
def test_the_first_part_is_cut_out_however_it_comes(content: bytes, size: int, preamble: bytes) -> None:
    body = preamble + b"--a-b\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--a-b--\r\n"
    expected = content.partition(b"\r\n--a-b")[0]
    assert b"".join(dicom_content(MULTIPART, iter(chunks(body, size)))) == expected
    assert b"".join(dicom_content("application/dicom", iter(chunks(content, size)))) == content


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("text/html", b"<html>", "not DICOM"),
        ("multipart/related", b"--a-b", "no boundary"),
        (MULTIPART, b"", "no part"),
        (MULTIPART, b"--a-b\r\n" + b"x" * 2 * MOST_HEAD_BYTES, "no part"),
        (MULTIPART, b"--a-b\r\n\r\nDICM", "ends within"),
    ],
)
def test_what_is_no_object_is_refused(content_type: str, body: bytes, reason: str) -> None:
    with pytest.raises(DestinationRefused, match=reason):
        b"".join(dicom_content(content_type, iter(chunks(body, 1000))))
