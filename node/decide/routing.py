"""Which models screen a study: by the modality of its images, and by rules of the site."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from node.domain.job import ACTIVE_VERSION, Assignment, Purpose
from node.domain.preparation_spec import InputModality

KINDS = {"CT": InputModality.CT, "CR": InputModality.CR, "DX": InputModality.CR}
"""Modality (0008,0060) of images that models read (PS3.3 C.7.3.1.1.1), and what the models call it."""

_REFERENCE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,63})(?::(?P<version>[1-9][0-9]{0,5}))?")


@dataclass(frozen=True, kw_only=True)
class SeriesSource:
    """What one series says of where it comes from."""

    modality: str
    """Modality (0008,0060)."""
    body_part_examined: str
    """BodyPartExamined (0018,0015); empty where absent."""
    station_name: str
    """StationName (0008,1010); empty where absent."""
    ae_title: str
    """Calling AE title of the association that brought it."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One rule. What it does not name may be anything."""

    modality: str
    """One of ``KINDS``."""
    model: str
    body_part_examined: str | None = None
    station_name: str | None = None
    ae_title: str | None = None

    def matches(self, source: SeriesSource) -> bool:
        """Whether a series meets everything that the rule names; case and outer blanks do not count."""
        named = (
            (self.modality, source.modality),
            (self.body_part_examined, source.body_part_examined),
            (self.station_name, source.station_name),
            (self.ae_title, source.ae_title),
        )
        return all(wanted is None or _folded(wanted) == _folded(found) for wanted, found in named)


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """A model that scores the same studies and sends nothing."""

    model_name: str
    model_version: int
    """Or ``ACTIVE_VERSION``."""
    modality: InputModality
    """What it reads."""


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Everything that decides which models screen a study."""

    ct_model: str
    """Where no route for CT matches."""
    radiograph_model: str | None
    """Where no route for CR or DX matches; None leaves radiographs alone."""
    routes: tuple[Route, ...] = ()
    """In order: the first one that matches counts."""
    shadows: tuple[Shadow, ...] = ()

    @property
    def reporting(self) -> tuple[tuple[str, InputModality], ...]:
        """Every model that may answer for a study, with what it must read; the one for CT comes first."""
        radiographs = [] if self.radiograph_model is None else [(self.radiograph_model, InputModality.CR)]
        routed = [(route.model, KINDS[route.modality]) for route in self.routes]
        return tuple(dict.fromkeys([(self.ct_model, InputModality.CT), *radiographs, *routed]))

    @property
    def assignments(self) -> tuple[Assignment, ...]:
        """Everything that any study may be assigned to."""
        reports = [Assignment(model_name=name) for name, _ in self.reporting]
        return tuple(dict.fromkeys([*reports, *map(_shadow, self.shadows)]))

    def assign(self, sources: Sequence[SeriesSource]) -> tuple[Assignment, ...]:
        """Return which models screen a study: one that reports for each kind of images, then the shadows.

        A study without any image that a model reads goes to the model for CT, which closes it without
        results.

        Parameters
        ----------
        sources : sequence of SeriesSource
            One for each series of the study.
        """
        kinds = [kind for kind in InputModality if any(_kind(source) is kind for source in sources)]
        found = [self._model_for(kind, sources) for kind in kinds]
        names = [name for name in found if name is not None] or [self.ct_model]
        reports = [Assignment(model_name=name) for name in names]
        shadows = [
            _shadow(item)
            for item in self.shadows
            if item.modality in kinds
            and not (item.model_version == ACTIVE_VERSION and item.model_name in names)
        ]
        return tuple(dict.fromkeys([*reports, *shadows]))

    def _model_for(self, kind: InputModality, sources: Sequence[SeriesSource]) -> str | None:
        for route in self.routes:
            if KINDS[route.modality] is kind and any(route.matches(source) for source in sources):
                return route.model
        return self.ct_model if kind is InputModality.CT else self.radiograph_model


def model_reference(text: str) -> tuple[str, int]:
    """Return name and version of ``NAME`` or ``NAME:VERSION``; without one, ``ACTIVE_VERSION``.

    Raises
    ------
    ValueError
        The text is neither.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{text!r} names no model; write NAME or NAME:VERSION, for example 'covid-ct-lite0:2'"
        )
    return found["name"], int(found["version"] or ACTIVE_VERSION)


def _shadow(shadow: Shadow) -> Assignment:
    return Assignment(
        model_name=shadow.model_name, model_version=shadow.model_version, purpose=Purpose.SHADOW
    )


def _kind(source: SeriesSource) -> InputModality | None:
    return KINDS.get(source.modality.strip().upper())


def _folded(text: str) -> str:
    return text.strip().casefold()
