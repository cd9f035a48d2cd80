"""The model's own input contract: every number that selects, prepares and decides.

``input_spec.json`` lies beside the model. The trainer writes it, the node reads the same file, and no code
has a default for anything that stands in it. Reading is strict: a missing or unknown key is an error.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from node.domain.errors import InputSpecError
from node.domain.model import ModelStatus
from node.domain.preparation_spec import (
    Equalise,
    FixedNormalise,
    InputKind,
    InputModality,
    LungBoxSpec,
    NoNormalise,
    Normalise,
    NormaliseKind,
    PerImageNormalise,
    PreparationSpec,
    WindowSpec,
    read_preparation,
)
from node.domain.result import OperatingPoint
from node.domain.selection_spec import PlausibilitySpec, SelectionRule, SelectionSpec, read_selection
from node.domain.strict_json import StrictObject, parse

__all__ = [
    "SCHEMA",
    "Equalise",
    "FixedNormalise",
    "InputKind",
    "InputModality",
    "InputSpec",
    "LungBoxSpec",
    "NoNormalise",
    "Normalise",
    "NormaliseKind",
    "OutputSpec",
    "PerImageNormalise",
    "PlausibilitySpec",
    "PreparationSpec",
    "ScopeSpec",
    "SelectionRule",
    "SelectionSpec",
    "SpecModel",
    "WindowSpec",
    "digest",
]

SCHEMA = "groundglass.input_spec/1"


@dataclass(frozen=True, kw_only=True)
class SpecModel:
    """Which model the specification belongs to."""

    name: str
    """Name of the model's folder; a change of input means a new name."""
    version: int
    """Version directory; a change of weights means a new version."""
    status: ModelStatus
    """The card's claim."""


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """What the network gives."""

    probabilities: str
    """Name of the output of shape (slices, classes)."""
    cam: str
    """Name of the output of shape (slices, grid rows, grid columns)."""
    classes: tuple[str, ...]
    """Class names in the order of the probabilities."""
    positive_class: str
    """The class that a positive slice belongs to."""

    @property
    def positive_index(self) -> int:
        """Column of the positive class."""
        return self.classes.index(self.positive_class)


@dataclass(frozen=True, kw_only=True)
class ScopeSpec:
    """For what images the model was made; outside of it nothing is analysed. Intervals are closed."""

    minimum_age_years: float
    slice_thickness_mm: tuple[float, float]
    pixel_spacing_mm: tuple[float, float]
    field_of_view_mm: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """A model's whole input contract."""

    model: SpecModel
    modality: InputModality
    ct_selection: SelectionSpec | None
    """None for radiographs, which are taken singly."""
    input: PreparationSpec
    outputs: OutputSpec
    operating_points: tuple[OperatingPoint, ...]
    active_point: str
    scope: ScopeSpec

    @property
    def selection(self) -> SelectionSpec:
        """How slices are selected.

        Raises
        ------
        InputSpecError
            The model reads radiographs.
        """
        if self.ct_selection is None:
            raise InputSpecError(f"{self.model.name} reads {self.modality}: slices are not selected for it")
        return self.ct_selection

    @property
    def operating_point(self) -> OperatingPoint:
        """The operating point in use."""
        return self.point(self.active_point)

    def point(self, name: str) -> OperatingPoint:
        """Return an operating point by name.

        Raises
        ------
        InputSpecError
            The specification has no such point.
        """
        for point in self.operating_points:
            if point.name == name:
                return point
        raise InputSpecError(f"operating_points.{name}: {self.model.name} has no such operating point")

    @classmethod
    def from_json(cls, text: str) -> InputSpec:
        """Read the text of an ``input_spec.json``.

        Raises
        ------
        InputSpecError
            The message names the key.
        """
        root = parse(text, InputSpecError)
        if (schema := root.text("schema")) != SCHEMA:
            raise InputSpecError(f"schema: {schema!r} is not {SCHEMA!r}; export the model again")
        modality = root.choice("modality", InputModality)
        selection = root.optional_child("selection")
        if (selection is None) != (modality is InputModality.CR):
            raise InputSpecError("selection: needed for CT, null for CR")
        spec = cls(
            model=_model(root.child("model")),
            modality=modality,
            ct_selection=None if selection is None else read_selection(selection),
            input=read_preparation(root.child("input"), modality),
            outputs=_outputs(root.child("outputs")),
            operating_points=_points(root.child("operating_points")),
            active_point=root.text("active_point"),
            scope=_scope(root.child("scope")),
        )
        root.close()
        _ = spec.operating_point  # raises when active_point names none
        return spec

    def to_json(self) -> str:
        """Return the canonical text: keys sorted, two spaces, a newline at the end."""
        document = _plain(self)
        assert isinstance(document, dict)  # noqa: S101 -- a dataclass gives a dict
        document["schema"] = SCHEMA
        document["selection"] = document.pop("ct_selection")
        document["operating_points"] = {
            point.name: {key: value for key, value in _fields(point).items() if key != "name"}
            for point in self.operating_points
        }
        return json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def digest(text: str) -> str:
    """Return the SHA-256 of the file's bytes (UTF-8), hexadecimal."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Fraction):
        return [value.numerator, value.denominator]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return _fields(value)
    return value


def _fields(record: object) -> dict[str, object]:
    assert dataclasses.is_dataclass(record)  # noqa: S101 -- narrows the type
    return {item.name: _plain(getattr(record, item.name)) for item in dataclasses.fields(record)}


def _model(source: StrictObject) -> SpecModel:
    record = SpecModel(
        name=source.text("name"),
        version=source.whole("version", 1, 10**6),
        status=source.choice("status", ModelStatus),
    )
    source.close()
    return record


def _outputs(source: StrictObject) -> OutputSpec:
    record = OutputSpec(
        probabilities=source.text("probabilities"),
        cam=source.text("cam"),
        classes=source.texts("classes"),
        positive_class=source.text("positive_class"),
    )
    if record.positive_class not in record.classes:
        source.fail("positive_class", "one of the classes")
    source.close()
    return record


def _points(source: StrictObject) -> tuple[OperatingPoint, ...]:
    points = []
    for name in sorted(source.keys()):
        item = source.child(name)
        points.append(
            OperatingPoint(
                name=name,
                slice_threshold=item.number("slice_threshold", 0, 1),
                share=item.share("share"),
                chosen_on=item.text("chosen_on"),
                validated=item.flag("validated"),
            )
        )
        item.close()
    return tuple(points)


def _scope(source: StrictObject) -> ScopeSpec:
    record = ScopeSpec(
        minimum_age_years=source.number("minimum_age_years", 0, 150),
        slice_thickness_mm=source.interval("slice_thickness_mm"),
        pixel_spacing_mm=source.interval("pixel_spacing_mm"),
        field_of_view_mm=source.interval("field_of_view_mm"),
    )
    source.close()
    return record
