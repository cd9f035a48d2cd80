"""What a cross-validation measured, one JSON file a part of it; read completely or refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from node.domain.result import Outcome
from node.domain.strict_json import StrictObject, parse
from trainer.cases.case import Case
from trainer.errors import TableError
from trainer.judge.metrics import Counts
from trainer.tables.points import POINTS

IMAGES_SCHEMA: Final = "groundglass.crossval.images/1"
PATIENTS_SCHEMA: Final = "groundglass.crossval.patients/1"
MOST: Final = 10**9
RUN: Final = re.compile(r"(?:fold|seed)-\d{1,9}")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """One part of a data set."""

    covid_groups: int
    """Patients, or the nearest thing to them."""
    covid_images: int
    other_groups: int
    other_images: int

    @classmethod
    def of(cls, cases: Sequence[Case]) -> Sizes:
        """Count cases."""
        groups = [{case.group for case in cases if case.positive is flag} for flag in (True, False)]
        positives = sum(case.positive for case in cases)
        return cls(
            covid_groups=len(groups[0]),
            covid_images=positives,
            other_groups=len(groups[1]),
            other_images=len(cases) - positives,
        )


@dataclass(frozen=True, kw_only=True)
class ImagesJudged:
    """A fitted network on single images that it was not fitted on."""

    made_with: str
    """Digest of recipe, data and initial weights: what has to be the same to go on."""
    net: str
    """Name in the catalogue of networks."""
    run: str
    """``fold-K`` or ``seed-S``."""
    trained_on: str
    """Source of the cases (`Case.source`)."""
    judged_on: str
    """Source of the cases judged."""
    part: str
    """Part that was judged: ``test``, ``val`` or ``all``."""
    division: str
    """Where the parts come from, in words."""
    added: int
    """Images of pneumonia from elsewhere among those judged, as the paper adds 100."""
    learnt: Sizes
    """The part that training could see."""
    judged: Sizes
    counts: Counts
    """At a probability of 0.5, COVID-19 as the positive class."""
    auc: float
    auc_interval: tuple[float, float]
    """95 %, bootstrap over groups."""

    @property
    def number(self) -> int:
        """Of the fold or seed."""
        return int(self.run.partition("-")[2])


@dataclass(frozen=True, kw_only=True)
class PatientJudged:
    """One series of one patient through the whole chain."""

    patient: str
    positive: bool
    series: str
    """Folder of the series, as ``SR_2``; empty where the patient has none under the raw folders."""
    slices: int
    selected: int
    """With open lungs, by the model's own rule."""
    positive_slices: int
    """Of the selected ones, at a probability of 0.5."""
    outcomes: Mapping[str, Outcome]
    """Operating point (`trainer.tables.points`) -> the node's answer on this series."""
    seconds: float
    """Reading and selecting of all slices, reading and classifying of the selected ones."""


@dataclass(frozen=True, kw_only=True)
class PatientsJudged:
    """The held-out patients of one fold."""

    made_with: str
    """Digest of what the images were judged with and of the raw folders."""
    net: str
    run: str
    patients: tuple[PatientJudged, ...]

    @property
    def number(self) -> int:
        """Of the fold."""
        return int(self.run.partition("-")[2])


@dataclass(frozen=True, kw_only=True)
class Records:
    """Everything that a folder of a cross-validation holds."""

    images: tuple[ImagesJudged, ...] = ()
    patients: tuple[PatientsJudged, ...] = ()


def text_of_record(record: ImagesJudged | PatientsJudged) -> str:
    """Return a record as JSON."""
    schema = IMAGES_SCHEMA if isinstance(record, ImagesJudged) else PATIENTS_SCHEMA
    return json.dumps({"schema": schema} | asdict(record), indent=2, allow_nan=False) + "\n"


def read_images(file: Path) -> ImagesJudged:
    """Read what was judged on images.

    Raises
    ------
    TableError
    """
    root = _opened(file, IMAGES_SCHEMA)
    record = ImagesJudged(
        made_with=root.text("made_with"),
        net=root.text("net"),
        run=root.choice("run", _run),
        trained_on=root.text("trained_on"),
        judged_on=root.text("judged_on"),
        part=root.text("part"),
        division=root.text("division"),
        added=root.whole("added", 0, MOST),
        learnt=_sizes(root.child("learnt")),
        judged=_sizes(root.child("judged")),
        counts=Counts(**_wholes(root.child("counts"), Counts)),
        auc=root.number("auc", 0, 1),
        auc_interval=root.interval("auc_interval"),
    )
    root.close()
    return record


def read_patients(file: Path) -> PatientsJudged:
    """Read what was judged on patients.

    Raises
    ------
    TableError
    """
    root = _opened(file, PATIENTS_SCHEMA)
    items = root.raw("patients")
    if not isinstance(items, list):
        root.fail("patients", "a list")
    record = PatientsJudged(
        made_with=root.text("made_with"),
        net=root.text("net"),
        run=root.choice("run", _run),
        patients=tuple(
            _patient(StrictObject(item, f"patients[{index}]", TableError)) for index, item in enumerate(items)
        ),
    )
    root.close()
    return record


def read_records(folder: Path) -> Records:
    """Read all records below a cross-validation's folder, in order of networks and runs.

    Raises
    ------
    TableError
        There is none, or one is malformed.
    """
    images = [read_images(file) for file in folder.glob("*/*.images.json")]
    patients = [read_patients(file) for file in folder.glob("*/*.patients.json")]
    if not images:
        raise TableError(f"{folder} holds no record NET/RUN.images.json; give the --out of a crossval")
    return Records(
        images=tuple(sorted(images, key=lambda one: (one.net, one.trained_on, one.judged_on, one.number))),
        patients=tuple(sorted(patients, key=lambda one: (one.net, one.number))),
    )


def _opened(file: Path, schema: str) -> StrictObject:
    try:
        root = parse(file.read_text(encoding="utf-8"), TableError)
        found = root.text("schema")
    except (OSError, UnicodeDecodeError, TableError) as error:
        raise TableError(f"{file} cannot be read ({error}); remove it and judge again") from error
    if found != schema:
        raise TableError(f"{file}: {found!r} is not {schema!r}; remove it and judge again")
    return root


def _run(text: str) -> str:
    if not RUN.fullmatch(text):
        raise ValueError(text)
    return text


def _wholes(source: StrictObject, kind: type[Any]) -> dict[str, int]:
    read = {name: source.whole(name, 0, MOST) for name in kind.__dataclass_fields__}
    source.close()
    return read


def _sizes(source: StrictObject) -> Sizes:
    return Sizes(**_wholes(source, Sizes))


def _patient(source: StrictObject) -> PatientJudged:
    series = source.raw("series")
    if not isinstance(series, str):
        source.fail("series", "a string")
    record = PatientJudged(
        patient=source.text("patient"),
        positive=source.flag("positive"),
        series=series,
        slices=source.whole("slices", 0, MOST),
        selected=source.whole("selected", 0, MOST),
        positive_slices=source.whole("positive_slices", 0, MOST),
        outcomes=_outcomes(source.child("outcomes")),
        seconds=source.number("seconds", 0),
    )
    source.close()
    if not record.positive_slices <= record.selected <= record.slices:
        source.fail("selected", "no more than slices and no fewer than positive_slices")
    return record


def _outcomes(source: StrictObject) -> dict[str, Outcome]:
    read = {point.name: source.choice(point.name, Outcome) for point in POINTS}
    source.close()
    return read
