"""Rows of the AI Results profile (IHE RAD AIR) that no validator checks, read with pydicom alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pydicom.dataset import Dataset

from node.domain.result import Outcome, ResultKind
from tests.validators.sets import CASES, Made, ResultSet
from tests.validators.test_validators import EVERY

Sets = Callable[[str], ResultSet]
SAME_AS_SOURCE = (
    "StudyInstanceUID",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "StudyDescription",
)
DOCUMENTS = {ResultKind.REPORT, ResultKind.KEY_OBJECTS, ResultKind.REJECTION}
LONGEST_MEANING = 64  # PS3.3 table 8.8-1, VR LO


def source_of(made: ResultSet) -> Dataset:
    """Return the header of one source image."""
    return Made(kind=ResultKind.REPORT, version=0, path=made.source[0]).header


def reports(made: ResultSet) -> Iterator[Dataset]:
    """Iterate over the reports of every version."""
    yield from (item.header for item in made.objects if item.kind is ResultKind.REPORT)


def items(node: Dataset, code: str, scheme: str = "DCM") -> list[Dataset]:
    """Return the children of a content item that have a concept name."""
    return [item for item in node.get("ContentSequence", ()) if name_of(item) == (code, scheme)]


def name_of(item: Dataset) -> tuple[str, str] | None:
    """Return the concept name of a content item."""
    found = item.get("ConceptNameCodeSequence")
    return (found[0].get("CodeValue", ""), found[0].CodingSchemeDesignator) if found else None


def whole_tree(node: Dataset) -> Iterator[Dataset]:
    """Iterate over all content items."""
    for item in node.get("ContentSequence", ()):
        yield item
        yield from whole_tree(item)


def groups(report: Dataset) -> list[Dataset]:
    """Return the measurement groups."""
    (measurements,) = items(report, "126010")
    return items(measurements, "125007")


def algorithm(item: Dataset) -> Dataset:
    """Return the contributing equipment that processed the images."""
    (found,) = [
        equipment
        for equipment in item.ContributingEquipmentSequence
        if equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    ]
    return found


def evidence_of(document: Dataset) -> list[tuple[str, str]]:
    """Return the instances of the evidence sequence with their classes."""
    return [
        (instance.ReferencedSOPInstanceUID, instance.ReferencedSOPClassUID)
        for study in document.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]


@pytest.mark.parametrize("name", EVERY)
def test_every_object_belongs_to_the_patient_and_study_of_its_source(name: str, result_set: Sets) -> None:
    made = result_set(name)
    source = source_of(made)
    for item in made.objects:
        header = item.header
        for keyword in SAME_AS_SOURCE:
            assert header.get(keyword) == source.get(keyword), (item.path.name, keyword)
        assert header.SeriesInstanceUID != source.SeriesInstanceUID
        assert header.SeriesNumber >= 8800
        assert header.InstanceNumber >= 1
        assert header.SeriesDescription
        if not str(header.PatientName).isascii():
            assert header.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.parametrize("name", EVERY)
def test_every_object_names_one_algorithm_and_a_device_that_changes_with_its_weights(
    name: str, result_set: Sets
) -> None:
    made = result_set(name)
    model = made.finding.model
    named = {
        (
            equipment.ManufacturerModelName,
            equipment.SoftwareVersions,
            equipment.DeviceUID,
            equipment.Manufacturer,
        )
        for equipment in (algorithm(item.header) for item in made.objects)
    }
    ((model_name, version, _, _),) = named
    assert model_name == model.name
    assert model.weights_sha256[:12] in version


@pytest.mark.parametrize("name", EVERY)
def test_the_report_identifies_the_algorithm_as_the_equipment_does(name: str, result_set: Sets) -> None:
    for report in reports(result_set(name)):
        equipment = algorithm(report)
        (device,) = items(report, "121012")
        assert equipment.DeviceUID == device.UID
        (model_name,) = items(report, "121015")
        assert model_name.TextValue == equipment.ManufacturerModelName
        (author,) = report.AuthorObserverSequence
        assert (author.ObserverType, author.DeviceUID) == ("DEV", equipment.DeviceUID)
        for group in groups(report):
            (algorithm_name,), (version,), (parameters,) = (
                items(group, code) for code in ("111001", "111003", "111002")
            )
            assert algorithm_name.TextValue == equipment.ManufacturerModelName
            assert version.TextValue == equipment.SoftwareVersions
            assert parameters.TextValue


@pytest.mark.parametrize("name", EVERY)
def test_every_group_can_be_tracked_and_says_what_it_found(name: str, result_set: Sets) -> None:
    made = result_set(name)
    for report in reports(made):
        tracked = []
        for group in groups(report):
            (template,) = group.ContentTemplateSequence
            assert template.TemplateIdentifier == "1501"
            (label,), (tracking,) = items(group, "112039"), items(group, "112040")
            assert label.TextValue
            assert {label.RelationshipType, tracking.RelationshipType} == {"HAS OBS CONTEXT"}
            tracked.append(tracking.UID)
            assert len(items(group, "121071")) == 1
        assert len(tracked) == len(set(tracked))


@pytest.mark.parametrize("name", EVERY)
def test_the_disease_is_named_only_where_it_was_found(name: str, result_set: Sets) -> None:
    made = result_set(name)
    last = list(reports(made))[-1]
    study, *slices = groups(last)
    (found,) = items(study, "121071")
    positive = made.finding.outcome is Outcome.POSITIVE
    assert (found.ConceptCodeSequence[0].CodeValue == "840544004") is positive
    assert len(slices) == (made.finding.positive if made.finding.slices else 0)
    for group in slices:
        (found,) = items(group, "121071")
        assert found.ConceptCodeSequence[0].CodeValue == "840544004"
        (certainty,) = items(group, "111012")
        (value,) = certainty.MeasuredValueSequence
        assert value.MeasurementUnitsCodeSequence[0].CodeValue == "%"
        assert 0 <= value.NumericValue <= 100
    assert items(study, "111012") == []


@pytest.mark.parametrize("name", EVERY)
def test_every_number_rests_on_an_image(name: str, result_set: Sets) -> None:
    for report in reports(result_set(name)):
        for item in whole_tree(report):
            if item.ValueType == "NUM":
                (source,) = item.ContentSequence
                assert (source.RelationshipType, source.ValueType) == ("INFERRED FROM", "IMAGE")
                # A viewer that leaves out a 0 would show the unit 1 as the number.
                (unit,) = item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence
                assert not unit.CodeValue[0].isdigit()


@pytest.mark.parametrize("name", EVERY)
def test_every_group_has_a_place_for_viewers(name: str, result_set: Sets) -> None:
    """OHIF shows nothing of a report with a group that has no coordinates."""
    for report in reports(result_set(name)):
        for group in groups(report):
            (place,) = [item for item in group.ContentSequence if item.ValueType == "SCOORD"]
            (image,) = place.ContentSequence
            assert (image.RelationshipType, image.ValueType) == ("SELECTED FROM", "IMAGE")


@pytest.mark.parametrize("name", EVERY)
def test_the_evidence_lists_what_a_document_refers_to_and_nothing_twice(name: str, result_set: Sets) -> None:
    made = result_set(name)
    there = {header.SOPInstanceUID: header.SOPClassUID for header in headers(made)}
    for item in made.objects:
        if item.kind in DOCUMENTS:
            listed = evidence_of(item.header)
            named = {
                (reference.ReferencedSOPInstanceUID, reference.ReferencedSOPClassUID)
                for content in whole_tree(item.header)
                for reference in content.get("ReferencedSOPSequence", ())
            }
            assert len(listed) == len(set(listed))
            assert set(listed) == named
            assert all(there[uid] == sop_class for uid, sop_class in listed)


def headers(made: ResultSet) -> Iterator[Dataset]:
    """Iterate over the headers of source and results."""
    for path in (*made.source, *(item.path for item in made.objects)):
        yield Made(kind=ResultKind.REPORT, version=0, path=path).header


@pytest.mark.parametrize("name", EVERY)
def test_the_report_refers_to_every_other_result(name: str, result_set: Sets) -> None:
    made = result_set(name)
    for item in made.objects:
        if item.kind is ResultKind.REPORT:
            named = {uid for uid, _ in evidence_of(item.header)}
            others = {ResultKind.HEATMAP, ResultKind.PARAMETRIC_MAP, ResultKind.SUMMARY}
            for other in made.objects:
                if other.version == item.version and other.kind in others:
                    assert other.header.SOPInstanceUID in named


@pytest.mark.parametrize("name", EVERY)
def test_private_codes_are_declared_and_every_code_fits(name: str, result_set: Sets) -> None:
    for item in result_set(name).objects:
        codes = [
            element.value[0]
            for element in item.header.iterall()
            if element.VR == "SQ"
            and element.value
            and "CodingSchemeDesignator" in element.value[0]
            and element.keyword != "CodingSchemeIdentificationSequence"
        ]
        for code in codes:
            assert len(code.CodeMeaning) <= LONGEST_MEANING
            assert len(code.get("CodeValue", "")) <= 16  # VR SH; a longer one is a LongCodeValue
        private = {code.CodingSchemeDesignator for code in codes} & {"99GGLASS"}
        declared = {
            scheme.CodingSchemeDesignator
            for scheme in item.header.get("CodingSchemeIdentificationSequence", ())
        }
        assert private <= declared


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith("version-2")])
@pytest.mark.long
def test_a_second_version_names_the_first_and_has_uids_of_its_own(name: str, result_set: Sets) -> None:
    made = result_set(name)
    first, second = reports(made)
    (study,) = second.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == first.SeriesInstanceUID == second.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    uids = [item.header.SOPInstanceUID for item in made.objects]
    assert len(uids) == len(set(uids))


@pytest.mark.parametrize("name", ["ct-positive", pytest.param("ct-enhanced", marks=pytest.mark.long)])
def test_a_map_lies_where_its_source_lies(name: str, result_set: Sets) -> None:
    made = result_set(name)
    (path,) = made.of(ResultKind.PARAMETRIC_MAP)
    maps = Made(kind=ResultKind.PARAMETRIC_MAP, version=1, path=path).header
    source = source_of(made)
    assert maps.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert len(maps.PerFrameFunctionalGroupsSequence) == maps.NumberOfFrames
    shared = maps.SharedFunctionalGroupsSequence[0]
    mapping = shared.RealWorldValueMappingSequence[0]
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "130403"
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    sources = {header.SOPInstanceUID for header in headers(made)}
    for frame in maps.PerFrameFunctionalGroupsSequence:
        (origin,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert origin.ReferencedSOPInstanceUID in sources
        assert len(frame.PlanePositionSequence[0].ImagePositionPatient) == 3


@pytest.mark.parametrize("name", EVERY)
def test_a_rejection_note_names_every_object_of_its_version(name: str, result_set: Sets) -> None:
    made = result_set(name)
    (note,) = [item for item in made.objects if item.kind is ResultKind.REJECTION]
    title = note.header.ConceptNameCodeSequence[0].CodeValue
    assert title == ("113001" if note.version == 1 else "113037")
    withdrawn = {
        item.header.SOPInstanceUID
        for item in made.objects
        if item.version == note.version and item is not note
    }
    assert {uid for uid, _ in evidence_of(note.header)} == withdrawn
