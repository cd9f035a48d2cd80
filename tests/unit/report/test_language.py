"""Another language changes every text of every object, and nothing else."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from importlib import resources
from typing import Any, Final

import pydicom
import pytest
from pydicom.dataset import Dataset

import node.domain
from node.assemble import evidence
from node.assemble.completeness import Conclusion, Evidence, judge
from node.cli.dicom_samples import SAMPLES, _rejection, _request
from node.domain.expectation import Expectation, Source
from node.domain.model import ModelStatus
from node.domain.result import Withdrawal
from node.domain.study import AssociationEnd
from node.domain.wording import ENGLISH, STORED, Told, Wording, known_wording, reason_of, tell, wording
from node.report import codes, picture_text, text
from node.report.build import build_results
from node.report.rejection import RejectionRequest, build_rejection
from node.report.render import report_text
from node.report.request import ReportRequest
from node.store.asides import BY_AUTHORITY
from tests.toy_language import TEXTS, TOY, WORD, elements, english_in
from tests.unit.assemble.test_completeness import QUIET, situation
from tests.unit.report.conftest import CASES, read
from tests.unit.report.test_parametric_map import slices, whole
from tests.unit.report.test_radiographs import REQUESTS

VALUE: Final = re.compile(r"\{[^}]*\}")
FILES: Final = sorted(
    item
    for item in resources.files(node.domain).joinpath("languages").iterdir()
    if item.name.endswith(".toml")
)


REASONS: Final = {
    "reason": tell("decision.cut", reason=tell("decision.too-few", n=1, needed=5)),
    "warnings": (tell("warning.few", count=3, usual=10), tell("warning.view", share="")),
    "selection_rule": tell("selection.radiographs"),
}
LUNGS: Final = Evidence(holds=True, reason="lungs open from slice 3 to 20 and closed at both ends")
OTHER: Final = Evidence(holds=False, reason="not a series of CT images")
EXPECTED: Final = [
    (Expectation(source=source, listed=62, missing=missing, final=True),)
    for source in Source
    for missing in (0, 3)
]
QUIET_END: Final = "association released normally, then at least 30 s of quiet"
VERDICT: Final = f"Complete: {QUIET_END}."


def told(request: ReportRequest) -> ReportRequest:
    """A request of which all reasons are the node's own."""
    finding = request.finding
    choices = tuple(
        replace(item, reason=tell("choice.refused", why=tell("unfit.localizer")), verdict_reason=VERDICT)
        for item in finding.choices
    )
    return replace(request, finding=replace(finding, choices=choices, **REASONS))


MADE: Final[dict[str, ReportRequest]] = {
    **{
        name: told(CASES[name].request())
        for name in ("positive", "incomplete", "not analysed", "untrained", "undetermined")
    },
    **{f"radiographs, {name}": told(REQUESTS[name]) for name in ("two positive", "negative")},
    **{f"sample {sample.name}": told(_request(sample)) for sample in SAMPLES[:2]},
    "whole map": told(whole(slices())),
}


def in_toy(request: ReportRequest) -> ReportRequest:
    return replace(request, producer=replace(request.producer, wording=TOY))


def objects(request: ReportRequest) -> list[Dataset]:
    """The result set, and the note that rejects it."""
    made = [read(item) for item in build_results(request)]
    return [*made, read(_rejection(request, made))]


def outside(value: object) -> Iterator[str]:
    """Every text of a request: none of them is the node's own wording."""
    if isinstance(value, Told | Wording):
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, Dataset):
        yield from (str(item) for _, vr, item in elements(value) if vr != "SQ")
    elif is_dataclass(value):
        for field in fields(value):
            yield from outside(getattr(value, field.name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from outside(item)


@pytest.mark.parametrize("name", MADE)
def test_every_text_changes_and_nothing_else(name: str) -> None:
    request = MADE[name]
    for english, other in zip(objects(request), objects(in_toy(request)), strict=True):
        rejected = english.SeriesNumber == 8805
        pairs = list(zip(elements(english), elements(other), strict=True))
        assert [(a[0], a[1]) for a, _ in pairs] == [(b[0], b[1]) for _, b in pairs]
        for (path, vr, said), (_, _, changed) in pairs:
            own_uid = rejected and vr == "UI" and said == english.SOPInstanceUID
            if said != changed and not own_uid:
                assert vr in TEXTS, path
                assert "CodeValue" not in path
        assert str(english.SeriesDescription) != str(other.SeriesDescription)


@pytest.mark.parametrize("name", MADE)
def test_no_english_is_left(name: str) -> None:
    request = MADE[name]
    known = "\n".join([*outside(request), text.SERVICE, codes.PRIVATE_SCHEME, "a reason"])
    for data_set in objects(in_toy(request)):
        for path, vr, said in elements(data_set):
            if vr in TEXTS and not path.endswith(NAMES):
                assert [word for word in english_in(str(said)) if word not in known] == [], path


NAMES: Final = tuple(
    str(pydicom.tag.Tag(keyword))
    for keyword in (
        "CodeValue",
        "LongCodeValue",
        "CodingSchemeDesignator",
        "CodingSchemeResponsibleOrganization",
        "StackID",
        "LUTLabel",
        "StationName",
        "SoftwareVersions",
    )
)


def test_no_english_is_left_on_pictures() -> None:
    for request in MADE.values():
        finding = request.finding
        if not finding.slices:
            continue
        known = "\n".join(outside(request))
        said = [str(value) for value in vars(picture_text.sheet_text(TOY, finding, 3)).values()]
        said += [str(value) for value in vars(picture_text.scout_text(TOY, finding)).values()]
        caption = picture_text.heatmap_caption(
            TOY,
            finding,
            0,
            place=picture_text.slice_place(TOY, finding, 0),
            grid=(7, 7),
            cell_mm=20.0,
            sides=picture_text.sides(TOY),
        )
        said += [str(value) for value in vars(caption).values()]
        assert [word for word in english_in(" ".join(said)) if word not in known] == []


def test_the_text_of_a_report_is_in_its_language() -> None:
    report = next(item for item in objects(in_toy(MADE["sample first"])) if item.Modality == "SR")
    assert report.ContentSequence[0].ConceptCodeSequence[0].CodeValue == "zz"
    shown = report_text(report)
    assert "zzzzzzz zz zzz zzzzz" in shown  # Outcome of the study
    assert "Summary" not in shown


@pytest.mark.parametrize("file", FILES, ids=lambda item: item.name)
def test_a_file_of_a_language_is_whole(file: Any) -> None:
    """It has the keys of the English one, the same values in braces, and no description that is too long."""
    words = wording(file.name.removesuffix(".toml"))
    assert words.phrases.keys() == ENGLISH.phrases.keys()
    assert words.meanings.keys() == ENGLISH.meanings.keys()
    for key, phrase in words.phrases.items():
        assert sorted(re.findall(r"\{[^}]*\}", phrase)) == sorted(
            re.findall(r"\{[^}]*\}", ENGLISH.phrases[key])
        )
    assert max(map(len, words.meanings.values())) <= 64
    for kind in ("report", "heatmap", "summary", "parametric-map", "key-objects", "map"):
        for section in text.SECTIONS.values():
            said = words(f"{section}.{kind}")
            assert all(len(text.marked(words, status, said)) <= 64 for status in ModelStatus if kind != "map")
            assert len(said) <= 64


@pytest.mark.parametrize(
    "stored",
    [
        (
            "Complete: 24 slices, one every 2.5 mm without gap or duplicate; lungs open from slice 3 to 20 "
            "and closed at both ends; association released normally, then at least 30 s of quiet."
        ),
        "Incomplete: 7 instances and nothing more for 1800 s; the last association was aborted.",
        (
            "Complete: association released normally, then at least 120 s of quiet; 7 instances; no evidence "
            "of geometry: 7 slices are too few to see the lungs close."
        ),
        "Complete: all 9 instances that the archive has are here; the slices are not axial.",
    ],
)
def test_a_stored_reason_is_known_again(stored: str) -> None:
    assert english_in(TOY.of(stored)) == []
    assert re.findall(r"[\d.;:]+", TOY.of(stored)) == re.findall(r"[\d.;:]+", stored)
    assert ENGLISH.of(stored) == stored


@pytest.mark.parametrize("end", [None, *AssociationEnd])
@pytest.mark.parametrize("known", [(), *EXPECTED])
def test_every_verdict_is_known_again(end: AssociationEnd | None, known: tuple[Expectation, ...]) -> None:
    for holds, why in (
        (True, "lungs open from slice 3 to 20 and closed at both ends"),
        (False, "not a series of CT images"),
    ):
        evidence = Evidence(holds=holds, reason=why)
        outcome = judge(situation(1900, end=end, known=known), QUIET, lambda found=evidence: found)
        assert isinstance(outcome, Conclusion)
        assert english_in(TOY.of(outcome.reason)) == []


def test_everything_that_slices_say_for_a_verdict_is_known_again() -> None:
    tree = ast.parse(inspect.getsource(evidence))
    bare = {id(part) for node in ast.walk(tree) if isinstance(node, ast.Expr) for part in ast.walk(node)}
    parts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare
    ]
    phrases = " ".join(phrase for key, phrase in ENGLISH.phrases.items() if key.startswith(STORED))
    assert len(parts) > 10
    assert [part for part in parts if WORD.search(part) and part.strip(" ;,()") not in phrases] == []


@pytest.mark.parametrize("key", [key for key in ENGLISH.phrases if key.startswith(("geometry.", "unread."))])
@pytest.mark.parametrize("said", ["the slices do not form a volume", "a slice cannot be read"])
def test_why_slices_say_nothing_is_known_again(said: str, key: str) -> None:
    why = ENGLISH(key, odd=3, slices=20, pairs=2)
    reason = f"Complete: {QUIET_END}; 20 instances; no evidence of geometry: {said} ({why})."
    left = TOY.of(reason)
    assert english_in(left) == []
    assert ENGLISH.of(reason) == reason
    assert TOY(key, odd=3, slices=20, pairs=2) in left


def test_a_note_on_what_a_source_corrected_is_in_its_language() -> None:
    """Its reason lies in the database, written by the node and not by an operator."""
    request = in_toy(MADE["positive"])
    made = [read(item) for item in build_results(request)]
    note = build_rejection(
        RejectionRequest(
            withdrawn=made,
            title=Withdrawal.PATIENT_SAFETY,
            reason=BY_AUTHORITY,
            version=1,
            model=request.finding.model,
            made_at=request.made_at,
            producer=request.producer,
        )
    )
    said = [str(value) for _, vr, value in elements(read(note)) if vr == "UT"]
    assert said
    known = "\n".join([*outside(request), text.SERVICE, codes.PRIVATE_SCHEME])
    assert [word for word in english_in(" ".join(said)) if word not in known] == []


def test_a_record_of_what_was_told_is_text() -> None:
    told = tell("unfit.too-few", count=3, needed=10)
    for kept in (copy.deepcopy(told), pickle.loads(pickle.dumps(told))):
        assert type(kept) is str
        assert kept == told == "too few slices: 3, at least 10 needed"


def test_what_others_say_stays() -> None:
    assert TOY.of("Dr. Roe: seen on the scanner") == "Dr. Roe: seen on the scanner"
    assert reason_of(ValueError("a cause.")) == "a cause"
    assert reason_of(ValueError(tell("geometry.no-slice"))) == ENGLISH("geometry.no-slice")
    assert known_wording("../en") is known_wording("xx") is ENGLISH
