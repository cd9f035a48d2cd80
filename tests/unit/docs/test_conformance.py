"""The conformance statement says what the code does."""

from __future__ import annotations

import inspect
import re

import pytest
from pynetdicom import AE

from node.cli.dicom_reference import dicom_reference
from node.cli.reference import GENERATED
from node.deliver.courier import BATCH
from node.dimse.contexts import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from node.domain.study import Verdict
from node.domain.wording import ENGLISH
from node.report import codes
from node.report.identity import SERIES_NUMBERS
from node.settings.settings import Settings
from node.store.gaps import ENOUGH
from node.store.intake import REFUSED_KEPT
from tests.docs_reading import ROOT
from trainer.judge import evaluate

DOCS = ROOT / "docs"
DEFAULTS = Settings()


@pytest.fixture(scope="module")
def statement() -> str:
    return " ".join((DOCS / "conformance.md").read_text(encoding="utf-8").split())


def test_the_tables_are_current() -> None:
    written = (DOCS / "reference" / "dicom.md").read_text(encoding="utf-8")
    assert written == f"{GENERATED}\n{dicom_reference()}\n"


def test_the_tables_hold_every_class_syntax_and_private_code() -> None:
    tables = dicom_reference()
    assert all(f"`{uid}`" in tables for uid in (*STORAGE_SOP_CLASSES, *TRANSFER_SYNTAXES))
    assert all(f"`{code.value}`" in tables for code in codes.VERDICTS.values())
    assert not re.search(r"\n\| [\d.]+ \|", tables), "a SOP class without a name"


def test_the_private_codes_of_the_statement_exist(statement: str) -> None:
    named, known = (set(re.findall(r"`(GG-[A-Z]+)`", page)) for page in (statement, dicom_reference()))
    assert named <= known


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_is_described_with_its_code(statement: str, verdict: Verdict) -> None:
    name = verdict.value.replace("-", " ")
    code = codes.VERDICTS[verdict].value
    assert re.search(rf"\| {name} \|[^|]*\| `{code}` \|", statement)


def test_the_numbers_of_the_statement_are_the_defaults(statement: str) -> None:
    limits, deliver, assemble = DEFAULTS.limits, DEFAULTS.deliver, DEFAULTS.assemble
    for said in (
        f"{limits.max_pdu_bytes} bytes (`max_pdu_bytes`)",
        f"| {inspect.signature(AE.associate).parameters['max_pdu'].default} bytes",
        f"{limits.max_associations} (`max_associations`)",
        f"{limits.acse_seconds:g} s for association control, {limits.idle_seconds:g} s without any PDU",
        f"{deliver.connect_seconds:g} s to connect, {deliver.acse_seconds:g} s association control",
        f"{deliver.dimse_seconds:g} s for a response",
        f"port `port`, {DEFAULTS.node.port} by default",
        f"`ae_title` (`{DEFAULTS.node.ae_title}` by default)",
        f"after {deliver.first_retry_seconds:g} s, {deliver.first_retry_seconds * deliver.retry_factor:g} s",
        f"up to {deliver.longest_retry_seconds / 60:g} min",
        f"{deliver.retry_jitter:.0%}".replace("%", " %") + " of each delay random",
        f"{deliver.max_attempts} times; then it waits for an operator",
        f"at most {BATCH} objects at a time",
        f"then {assemble.geometry_quiet_seconds:g} s of quiet | `GG-BYGEOMETRY`",
        f"then {assemble.plain_quiet_seconds:g} s of quiet | `GG-BYQUIET`",
        f"| {assemble.cap_seconds / 60:g} min of quiet",
        f"{assemble.study_quiet_seconds:g} s were quiet",
        f"within {assemble.floor_seconds:g} s to {assemble.ceiling_seconds:g} s",
        f"once {ENOUGH} gaps are known",
    ):
        assert said in statement


def test_the_how_to_pages_name_the_defaults() -> None:
    admit = (DOCS / "how-to" / "admit-a-peer.md").read_text(encoding="utf-8")
    assert f"The {REFUSED_KEPT} newest refused callers are kept" in admit
    read = (DOCS / "how-to" / "read-the-results.md").read_text(encoding="utf-8")
    assert f"at most {DEFAULTS.report.max_heatmaps}, strongest first" in read
    for number in SERIES_NUMBERS.values():
        assert f"| {number} |" in read


def test_every_warning_that_is_explained_can_be_given() -> None:
    page = (DOCS / "how-to" / "read-the-results.md").read_text(encoding="utf-8")
    table = page.partition("## What the warnings mean")[2].partition("\n## ")[0]
    explained = re.findall(r"^\| ((?!warning|-).+?) \|", table, re.MULTILINE)
    given = "".join([*ENGLISH.phrases.values(), inspect.getsource(evaluate)])
    for part in [part for warning in explained for part in warning.split("...")]:
        assert part.strip().lower() in " ".join(given.lower().split()), part
    assert len(explained) > 5
