"""Queries over random data, against a plain reference: the same entities are found, with their values."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.filereader import read_dataset
from pynetdicom.dsutils import encode

from node.dimse.admission import Caller
from node.dimse.queries import FindRequest
from node.domain.identity import PatientKey
from node.domain.query import ATTRIBUTES, Level
from node.domain.study import Arrival, InstanceHeader
from node.query.find import FindService
from node.store.store import open_store
from tests.conftest import CountingUids, FrozenClock, ct_header
from tests.station.finding_ground import identifier_of
from tests.station.receiving_node import migrated_index
from tests.unit.query import reference

NAMES = (
    "Doe^Jane",
    "DOE^JANE^^^",
    "Müller^Zoë",
    "MULLER^Zoe^M",
    "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "=山田^花子",
    "O'Neil^Sean",
    "Percent%_^A",
    "Straße^Ida",
    "",
    "Δημήτρης^Α",
    "Ｗide^Name",
)
TEXTS = ("", "CT chest", "ct CHEST", "50% *?", "a_b", "x/y", "Thorax ohne KM", "Größe")
IDS = ("P1", "P10", "p1", "X*", "'; --", "ÄÖ")
TIMES = ("", "07", "0730", "073000", "073000.5", "235959.999999", "noon")
DATES = ("", "20240101", "20240131", "20240229", "19991231", "2024", "20240615")
STUDIES = 25
CALLER = Caller(calling_ae_title="VIEWER", called_ae_title="GG", address="127.0.0.1")
VRS = {attribute.keyword: attribute for attribute in ATTRIBUTES}
UNIQUE = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


def values_of(header: InstanceHeader) -> dict[str, tuple[str, ...]]:
    """The data as they were made."""
    plain = {
        "PatientID": header.patient.patient_id,
        "IssuerOfPatientID": header.patient.issuer,
        "PatientName": header.patient_name,
        "StudyDate": header.study_date,
        "StudyTime": header.study_time,
        "StudyDescription": header.study_description,
        "AccessionNumber": header.accession_number,
        "ReferringPhysicianName": header.referring_physician_name,
        "StudyInstanceUID": header.study_instance_uid,
        "Modality": header.modality,
        "SeriesNumber": "" if header.series_number is None else str(header.series_number),
        "SeriesDescription": header.series_description,
        "BodyPartExamined": header.body_part_examined,
        "SeriesInstanceUID": header.series_instance_uid,
        "SOPInstanceUID": header.sop_instance_uid,
        "SOPClassUID": header.sop_class_uid,
        "InstanceNumber": str(header.instance_number),
        "Rows": str(header.rows),
    }
    return {**{keyword: (value,) for keyword, value in plain.items()}, "ImageType": header.image_type}


def headers(seed: int) -> list[InstanceHeader]:
    """Studies with series with instances; what belongs to a study is the same in all of it."""
    choose = random.Random(seed)
    numbers = itertools.count(1)
    made = []
    for study in range(STUDIES):
        about = {
            "patient": PatientKey(patient_id=f"{choose.choice(IDS)}{study}", issuer=choose.choice(["", "A"])),
            "patient_name": choose.choice(NAMES),
            "study_date": choose.choice(DATES),
            "study_time": choose.choice(TIMES),
            "study_description": choose.choice(TEXTS),
            "accession_number": choose.choice(TEXTS)[:16],
            "referring_physician_name": choose.choice(NAMES),
            "study_instance_uid": f"1.2.{seed}.{study}",
        }
        for number in range(choose.randint(1, 3)):
            what = {
                "series_instance_uid": f"1.2.{seed}.{study}.{number}",
                "modality": choose.choice(["CT", "MR", "SR", ""]),
                "series_number": choose.choice([None, 1, 2, 12]),
                "series_description": choose.choice(TEXTS),
                "body_part_examined": choose.choice(["CHEST", "LUNG", ""]),
            }
            for _ in range(choose.randint(1, 3)):
                instance = next(numbers)
                made.append(
                    ct_header(
                        instance,
                        sop_instance_uid=f"1.2.{seed}.9.{instance}",
                        rows=choose.choice([256, 512]),
                        image_type=choose.choice([("ORIGINAL", "PRIMARY"), ("DERIVED",)]),
                        **about,
                        **what,
                    )
                )
    return made


@dataclass(frozen=True)
class Filled:
    service: FindService
    headers: list[InstanceHeader]

    def find(self, level: str, keys: dict[str, str]) -> list:
        identifier = identifier_of(level, keys)
        identifier.SpecificCharacterSet = "ISO_IR 192"
        request = FindRequest(
            identifier=encode(identifier, False, True),
            implicit=False,
            patient_root=False,
            relational=True,
            combined=False,
        )
        found = []
        for page in self.service.matches(request, caller=CALLER):
            assert all(match.supported for match in page)
            found += [read_dataset(BytesIO(match.identifier), False, True) for match in page]
        return found


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.long)])
def filled(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    (folder / "index.sqlite").write_bytes(migrated_index())
    store = open_store(folder, clock=FrozenClock(), uids=CountingUids())
    made = headers(request.param)
    for header in made:
        stored = store.files.store(header.sop_instance_uid.encode())
        arrival = Arrival(
            header=header,
            object_key=stored.key,
            sha256=stored.sha256,
            size=stored.size,
            received_at=datetime(2026, 1, 5, tzinfo=UTC),
            calling_ae_title="CT1",
            association_id=None,
        )
        store.intake.add(arrival)
    yield Filled(FindService(store.matches, store.files, ae_title="GG"), made)
    store.close()


def of_level(level: Level) -> list[str]:
    known = values_of(ct_header(1))
    return [keyword for keyword in known if VRS[keyword].level in {*level.above, level}]


@st.composite
def keys(draw, level: Level) -> dict[str, str]:
    """Keys made of values that are there, as values, lists, patterns and ranges."""
    chosen = draw(st.lists(st.sampled_from(of_level(level)), max_size=3, unique=True))
    return {keyword: draw(key_of(VRS[keyword].vr, keyword)) for keyword in chosen}


def key_of(vr: str, keyword: str) -> st.SearchStrategy[str]:
    if vr == "PN":
        return st.sampled_from(NAMES).flatmap(pattern_of)
    if vr == "DA":
        return ranges([date for date in DATES if len(date) == 8])
    if vr == "TM":
        return ranges([time for time in TIMES if time != "noon" and time])
    if vr in {"IS", "US"}:
        return st.sampled_from(["", "1", "2", "12", "256", "512"])
    if vr == "UI":
        uids = st.sampled_from(
            [
                f"1.2.{seed}.{study}{tail}"
                for seed in (1, 2)
                for study in range(STUDIES)
                for tail in ("", ".0", ".1")
            ]
        )
        return st.lists(uids, max_size=5).map("\\".join)
    words = {"PatientID": IDS, "ImageType": ("ORIGINAL", "DERIVED", "PRIMARY")}.get(
        keyword, (*TEXTS, "CT", "MR", "CHEST")
    )
    one = st.sampled_from(words).flatmap(pattern_of)
    return st.lists(one, min_size=1, max_size=2).map("\\".join)


def ranges(values: list[str]) -> st.SearchStrategy[str]:
    one, ends = st.sampled_from(values), st.sampled_from(["", *values])
    return st.one_of(
        st.just(""),
        one,
        st.tuples(ends, ends).filter(any).map("-".join),
        st.lists(one, max_size=3).map("\\".join),
    )


@st.composite
def pattern_of(draw, text: str) -> str:
    """A text with some of its characters replaced by wild cards, and another case."""
    kind = draw(st.integers(0, 4))
    begin = draw(st.integers(0, len(text)))
    end = draw(st.integers(begin, len(text)))
    middle = draw(st.sampled_from(["*", "?", "*?", "**"]))
    return [
        text,
        text.upper(),
        text[:begin] + "*",
        text[:begin] + middle + text[end:],
        "*" + text[begin:end] + "*",
    ][kind]


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.IMAGE])
@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_entities_are_found_as_by_the_reference(filled, level, data):
    asked = data.draw(keys(level))
    unique = UNIQUE[level]
    expected = {
        values[unique][0]
        for values in map(values_of, filled.headers)
        if all(reference.matches(VRS[keyword].vr, key, values[keyword]) for keyword, key in asked.items())
    }
    found = filled.find(level, {unique: "", **asked})
    uids = [match[unique].value for match in found]
    assert sorted(uids) == sorted(expected)


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES])
def test_every_value_comes_back_as_it_was_sent(filled, level):
    unique = UNIQUE[level]
    names = of_level(level)
    found = {str(match[unique].value): match for match in filled.find(level, dict.fromkeys(names, ""))}
    for header in filled.headers:
        values = values_of(header)
        match = found[values[unique][0]]
        for keyword in names:
            (value,) = values[keyword]
            there = match[keyword].value
            assert ("" if there is None else str(there)) == value.rstrip(), keyword
