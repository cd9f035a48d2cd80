"""What validators of other makers say about every kind of object, for every modality and outcome.

`make test` checks two studies; ``long`` tests check all of them, and with PixelMed's validator, which takes
seconds for each report.
"""

from __future__ import annotations

from collections.abc import Callable

import pydicom
import pytest

from node.domain.result import Outcome, ResultKind
from tests.validators import programs
from tests.validators.sets import CASES, ResultSet

DOCUMENTS = (ResultKind.REPORT, ResultKind.KEY_OBJECTS, ResultKind.REJECTION)
QUICK = ("ct-positive", "cr-version-2")
EVERY = [pytest.param(name, marks=() if name in QUICK else pytest.mark.long, id=name) for name in CASES]
Sets = Callable[[str], ResultSet]


@pytest.mark.parametrize("name", EVERY)
def test_every_version_holds_the_kinds_that_belong_to_it(name: str, result_set: Sets) -> None:
    made = result_set(name)
    analysed = made.finding.outcome is not Outcome.NOT_ANALYSED
    positive = any(item.positive for item in made.finding.slices)
    expected = {ResultKind.REPORT}
    if analysed:
        expected |= {ResultKind.SUMMARY}
    if positive:
        expected |= {ResultKind.HEATMAP, ResultKind.PARAMETRIC_MAP, ResultKind.KEY_OBJECTS}
    if CASES[name].edit is not None:
        expected = {ResultKind.REPORT}
    last = max(item.version for item in made.objects)
    assert last == (2 if name.endswith("version-2") else 1)
    for version in range(1, last + 1):
        kinds = [item.kind for item in made.objects if item.version == version]
        assert set(kinds) == expected | ({ResultKind.REJECTION} if version == last else set())
        # A frame of reference has one map; a radiograph has none, and a map of its own.
        several = (
            {ResultKind.HEATMAP, ResultKind.PARAMETRIC_MAP} if name.startswith("cr") else {ResultKind.HEATMAP}
        )
        assert {kind for kind in kinds if kinds.count(kind) > 1} <= several


@pytest.mark.parametrize("name", EVERY)
def test_no_object_breaks_its_information_object_definition(name: str, result_set: Sets) -> None:
    assert {item.path.name: programs.dciodvfy(item.path) for item in result_set(name).objects} == {
        item.path.name: [] for item in result_set(name).objects
    }


@pytest.mark.parametrize("name", EVERY)
def test_the_objects_agree_with_the_study_that_they_are_about(name: str, result_set: Sets) -> None:
    made = result_set(name)
    assert programs.dcentvfy([*made.source, *(item.path for item in made.objects)]) == []


@pytest.mark.parametrize("name", EVERY)
def test_dcmtk_reads_every_document(name: str, result_set: Sets) -> None:
    for item in result_set(name).objects:
        if item.kind in DOCUMENTS:
            tree, complaints = programs.dsrdump(item.path)
            assert complaints == []
            assert "CONTAINER" in tree
            document, complaints = programs.dsr2xml(item.path)
            assert complaints == []
            assert document.find(".//{*}instance[@uid]") is not None
            page, complaints = programs.dsr2html(item.path)
            assert complaints == []
            assert "</html>" in page


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_the_reports_keep_to_their_templates(name: str, result_set: Sets) -> None:
    made = result_set(name)
    for item in made.objects:
        if item.kind is ResultKind.REPORT:
            errors, found = programs.pixelmed(item.path)
            assert found == [
                "Found Comprehensive3DSR IOD",
                "Found Root Template TID_1500 (MeasurementReport)",
            ]
            assert programs.not_known(errors) == []
            # The list of false alarms holds nothing that is not raised.
            assert bool(errors) is name.startswith(("cr", "dx"))


@pytest.mark.long
@pytest.mark.parametrize("name", ["ct-positive", "cr-version-2"])
def test_key_objects_and_rejection_notes_keep_to_their_template(name: str, result_set: Sets) -> None:
    made = [item for item in result_set(name).objects if item.kind in DOCUMENTS[1:]]
    assert {item.kind for item in made} == set(DOCUMENTS[1:])
    for item in made:
        errors, found = programs.pixelmed(item.path)
        assert "Found Root Template TID_2010 (KeyObjectSelection)" in found
        assert errors == []


def test_the_validators_do_find_faults(result_set: Sets, tmp_path) -> None:
    """Without this an output that nobody understands any more would pass for a clean one."""
    made = result_set("ct-positive")
    (report,) = made.of(ResultKind.REPORT)
    data_set = pydicom.dcmread(report)
    data_set.CompletionFlag = "MAYBE"
    data_set.PatientBirthDate = "19710101"
    del data_set.ContentSequence[0].ConceptNameCodeSequence
    broken = tmp_path / "broken.dcm"
    data_set.save_as(broken)
    assert any("CompletionFlag" in line for line in programs.dciodvfy(broken))
    assert any("PatientBirthDate" in line for line in programs.dcentvfy([*made.source, broken]))
    assert programs.dsrdump(broken)[1] != []
