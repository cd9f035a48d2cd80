import io

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag

from node.report.build import build_results
from node.report.inherited import attributes_digest, inherit, local_time, offset, requests, text
from tests.unit.report.conftest import STUDY, Case, read, source


def as_received(data_set: Dataset, *, implicit: bool = False) -> Dataset:
    """The data set as it comes off the wire: raw values that nothing has converted."""
    buffer = io.BytesIO()
    stream = DicomIO(buffer)
    stream.is_little_endian, stream.is_implicit_VR = True, implicit
    write_dataset(stream, data_set)
    buffer.seek(0)
    return read_dataset(buffer, implicit, True)


def with_value(keyword: str, vr: str, value: object) -> Dataset:
    data_set = source("1.2.3", "1.2", 1)
    data_set.add(DataElement(Tag(keyword), vr, value, validation_mode=config.IGNORE))
    return data_set


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    ("terms", "name"),
    [
        ("ISO_IR 100", "Buc^Jérôme"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 138", "Sharon^Deborah=שרון^דבורה"),
        ("ISO_IR 127", "قباني^لنزار"),
    ],
)
def test_names_of_every_character_set_arrive(terms, name, implicit, errors_of):
    received = as_received(
        source("1.2.3", "1.2", 1, name=name, SpecificCharacterSet=terms), implicit=implicit
    )
    assert str(inherit(received).PatientName) == name
    case = Case(source={"SpecificCharacterSet": terms, "PatientName": name})
    results = build_results(case.request())
    for item in (results[0], results[-1]):
        assert read(item).SpecificCharacterSet == "ISO_IR 192"
        assert str(read(item).PatientName) == name
    assert errors_of(results[-1]) == []


def test_undeclared_bytes_do_not_stop_a_report():
    received = as_received(source("1.2.3", "1.2", 1))
    raw = received.get_item(Tag("PatientName"))
    received[Tag("PatientName")] = raw._replace(value=b"M\xfcller^J", length=8)
    assert str(inherit(received).PatientName) == "Müller^J"


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("StudyDate", "DA", "2026-03-04"),
        ("StudyTime", "TM", "noon"),
        ("PatientAge", "AS", "65"),
        ("PatientSize", "DS", "1,85"),
        ("PatientBirthDate", "DA", "19611332"),
        ("PatientSex", "CS", "unknown"),
        ("PatientSex", "CS", "X"),
    ],
)
def test_malformed_values_are_left_out(keyword, vr, value):
    data_set = source("1.2.3", "1.2", 1)
    stand_in = DataElement(Tag(keyword), "LO", value)
    data_set.add(stand_in)
    received = as_received(data_set)
    raw = received.get_item(Tag(keyword))
    received[Tag(keyword)] = raw._replace(VR=vr)
    assert not inherit(received).get(keyword)
    assert inherit(received).PatientID == "P-17"


def test_identity_is_never_altered():
    long = "P" * 80
    assert inherit(with_value("PatientID", "LO", long)).PatientID == long


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("StudyDescription", "LO", "x" * 65),
        ("StudyDescription", "LO", "CT\x1b[2J thorax"),
        ("OtherPatientNames", "PN", "D" * 65),
        ("PatientComments", "LT", "x" * 10241),
        ("StudyDescription", "LO", ["CT thorax", "abdomen"]),
        ("ReferringPhysicianName", "PN", ["Roe^Richard", "Doe^John"]),
        ("PatientWeight", "DS", ["70", "71"]),
    ],
)
def test_text_that_its_value_representation_does_not_hold_is_left_out(keyword, vr, value):
    assert not inherit(with_value(keyword, vr, value)).get(keyword)


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("StudyDescription", "LO", "x" * 64),
        ("OtherPatientNames", "PN", "=".join(("D" * 64, "山" * 64))),
        ("OtherPatientNames", "PN", ["A" * 64, "B" * 64]),
        ("PatientComments", "LT", "first line\r\n\tsecond \\ line"),
    ],
)
def test_text_that_its_value_representation_holds_is_taken_over(keyword, vr, value):
    assert inherit(with_value(keyword, vr, value))[keyword].value == value


def test_type_2_attributes_are_there_even_if_the_source_lacks_them():
    bare = Dataset()
    bare.StudyInstanceUID = STUDY
    copied = inherit(bare)
    for keyword in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyID",
        "AccessionNumber",
    ):
        assert keyword in copied
        assert not copied.get(keyword)


def test_sequences_are_copied_without_private_elements_and_with_their_text():
    item = Dataset()
    item.LocalNamespaceEntityID = "Klinik Süd"
    item.add_new(0x00091001, "LO", "private")
    qualifiers = source(
        "1.2.3", "1.2", 1, SpecificCharacterSet="ISO_IR 100", IssuerOfPatientIDQualifiersSequence=[item]
    )
    (copied,) = inherit(as_received(qualifiers)).IssuerOfPatientIDQualifiersSequence
    assert copied.LocalNamespaceEntityID == "Klinik Süd"
    assert len(copied) == 1


def test_codes_of_several_values_are_left_out(errors_of):
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = ["A", "B"], "99X", "meaning"
    case = Case(source={"ProcedureCodeSequence": [code], "StudyDescription": ["CT thorax", "abdomen"]})
    assert errors_of(build_results(case.request())[-1]) == []


def test_items_without_what_they_require_are_left_out(errors_of):
    code, reference, other = Dataset(), Dataset(), Dataset()
    code.CodeValue = "CTCH"
    reference.ReferencedSOPInstanceUID = "1.2.3"
    other.PatientID = "P-18"
    order = Dataset()
    order.ReferencedStudySequence = [reference]
    case = Case(
        source={
            "ProcedureCodeSequence": [code],
            "OtherPatientIDsSequence": [other],
            "ReferencedStudySequence": [reference],
            "ReferencedRequestSequence": [order],
        }
    )
    report = build_results(case.request())[-1]
    assert errors_of(report) == []
    assert "OtherPatientIDsSequence" not in read(report)
    assert read(report).PerformedProcedureCodeSequence == []


def test_a_referenced_request_of_the_source_is_taken_over():
    order = Dataset()
    order.StudyInstanceUID, order.AccessionNumber, order.RequestedProcedureID = "1.2.9", "A-1", "RP"
    (request,) = requests(source("1.2.3", "1.2", 1, ReferencedRequestSequence=[order]))
    assert (request.StudyInstanceUID, request.AccessionNumber) == ("1.2.9", "A-1")
    assert request.RequestedProcedureCodeSequence == []
    assert requests(source("1.2.3", "1.2", 1)) == []


@pytest.mark.parametrize(
    ("value", "minutes"),
    [
        ("+0000", 0),
        ("+0530", 330),
        ("-0330", -210),
        ("+1400", 840),
        ("+1500", None),
        ("0100", None),
        ("", None),
    ],
)
def test_time_zones(value, minutes):
    zone = offset(source("1.2.3", "1.2", 1, TimezoneOffsetFromUTC=value))
    assert (None if zone is None else zone.utcoffset(None).total_seconds() / 60) == minutes


def test_without_a_zone_the_time_stays_as_it_is():
    moment = Case().made_at
    assert local_time(source("1.2.3", "1.2", 1), moment) is moment


def test_the_digest_follows_what_is_copied():
    base = source("1.2.3", "1.2", 1)
    assert attributes_digest(base) == attributes_digest(source("1.2.4", "1.2", 2))
    for changes in (
        {"PatientName": "Doe^Janet"},
        {"AccessionNumber": "A-4712"},
        {"TimezoneOffsetFromUTC": "+0100"},
        {"IssuerOfPatientID": "OTHER"},
    ):
        assert attributes_digest(source("1.2.3", "1.2", 1, **changes)) != attributes_digest(base)


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=40))
def test_any_bytes_can_be_taken_over(value):
    received = as_received(source("1.2.3", "1.2", 1))
    for keyword in ("PatientName", "StudyDate", "PatientAge", "PatientSex", "StudyTime", "PatientWeight"):
        vr = pydicom.datadict.dictionary_VR(keyword)
        element = pydicom.dataelem.RawDataElement(Tag(keyword), vr, len(value), value, 0, False, True)
        received[Tag(keyword)] = element
    assert attributes_digest(received) == attributes_digest(received)
    written = inherit(received)
    written.SpecificCharacterSet = "ISO_IR 192"
    assert isinstance(text(as_received(written), "PatientName"), str)
