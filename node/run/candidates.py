"""The series of one study as candidates: judged, one chosen, and given up where they turn out unreadable."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydicom.dataset import Dataset

from node.decide.choice import REFUSED, Criteria, SeriesFacts, choose
from node.dicom.codecs import Codecs
from node.dicom.overrides import overridden, overridden_header
from node.dicom.read import read_dataset
from node.dicom.slices import SliceSource, slice_sources
from node.domain.errors import DicomError
from node.domain.network import CapPolicy
from node.domain.result import SeriesChoice
from node.domain.study import AsideReason, Instance
from node.domain.wording import Told, tell
from node.run.findings import CtMethod
from node.store.store import Store

log = logging.getLogger(__name__)

MOST_REASONS = 3
"""Reasons in the one sentence about a study without a fit series; the report's list has them all."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """All series of one study, for a model that reads CT."""

    modalities: ClassVar[frozenset[str]] = frozenset({"CT"})
    """Modality (0008,0060) of the series that are most worth a word where none is fit."""
    facts: tuple[SeriesFacts, ...]
    criteria: Criteria
    instances: Mapping[str, Sequence[Instance]]
    """By SeriesInstanceUID."""
    kept_aside: int
    """Objects of the study that lie beside the index, in none of its series."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Patient and study attributes that an operator has put right: value by keyword."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Series that were given up, by SeriesInstanceUID, with why."""

    @cached_property
    def choices(self) -> tuple[SeriesChoice, ...]:
        """One judgement a series, in the order of the study; at most one is chosen."""
        left = [item for item in self.facts if item.series.series_instance_uid not in self.refused]
        judged = {item.series_instance_uid: item for item in self.judge(left)}
        judged |= {
            item.series_instance_uid: dataclasses.replace(
                item,
                chosen=False,
                eligible=False,
                reason=tell(REFUSED, why=self.refused[item.series_instance_uid]),
            )
            for item in self.judge(self.facts)
            if item.series_instance_uid in self.refused
        }
        return tuple(judged[item.series.series_instance_uid] for item in self.facts)

    def judge(self, facts: Sequence[SeriesFacts]) -> tuple[SeriesChoice, ...]:
        """Judge series and choose at most one."""
        return choose(facts, self.criteria)

    @property
    def chosen(self) -> SeriesChoice | None:
        """The chosen series, if any."""
        return next((item for item in self.choices if item.chosen), None)

    @property
    def why_none(self) -> str:
        """Why no series was chosen, one sentence."""
        near = [item for item in self.choices if item.modality in self.modalities] or list(self.choices)
        reasons = [_why(item) for item in near]
        more = len(reasons) - MOST_REASONS
        if more > 0:
            reasons = [*reasons[:MOST_REASONS], tell("decision.none-fit-more", count=more)]
        return tell("decision.none-fit", series=tuple(reasons))

    @property
    def sop_instance_uids(self) -> list[str]:
        """Every instance of the study, sorted."""
        return sorted(item.header.sop_instance_uid for several in self.instances.values() for item in several)

    def without(self, series_instance_uid: str, reason: str) -> Candidates:
        """Return the candidates with one more series given up."""
        return dataclasses.replace(self, refused={**self.refused, series_instance_uid: reason})

    def sources(
        self, series_instance_uid: str, path_of: Callable[[str], Path], codecs: Codecs
    ) -> list[SliceSource]:
        """Return every slice of one series, from feet to head.

        Raises
        ------
        GeometryError
            The slices do not form a volume.
        """
        return slice_sources(self.instances[series_instance_uid], path_of, codecs)

    def evidence(self, path_of: Callable[[str], Path]) -> list[Dataset]:
        """Return source instances without pixel data: the whole chosen series, one of every other series.

        The order is by UID within a series, so the same study gives the same first instance. What an operator
        has put right of patient and study stands in place of what was received.

        Raises
        ------
        DicomError
            An instance of the chosen series cannot be read again.
        """
        chosen = self.chosen.series_instance_uid if self.chosen else ""
        found: list[Dataset] = []
        for uid in sorted(self.instances, key=lambda uid: (uid != chosen, uid)):
            ordered = sorted(self.instances[uid], key=lambda item: item.header.sop_instance_uid)
            if uid == chosen:
                found.extend(read_dataset(path_of(item.object_key)) for item in ordered)
            elif ordered:
                found.extend(_readable(path_of(ordered[0].object_key)))
        return [overridden(item, self.overrides) for item in found]


def read_candidates(
    store: Store, study_id: int, how: CtMethod, *, cap_policy: CapPolicy, accept_unknown_age: bool
) -> Candidates:
    """Read the series of a study from the index, for a model that reads CT.

    Parameters
    ----------
    store : Store
    study_id : int
    how : CtMethod
        For the model's scope and minimum of slices.
    cap_policy : CapPolicy
    accept_unknown_age : bool
        Whether a patient of unknown age is analysed.

    Raises
    ------
    UnknownSubject
    """
    held = read_study(store, study_id)
    return Candidates(
        facts=held.facts,
        criteria=Criteria.from_spec(
            how.spec,
            cap_policy,
            minimum_slices=how.selection.minimum_slices,
            accept_unknown_age=accept_unknown_age,
        ),
        instances=held.instances,
        kept_aside=held.kept_aside,
        overrides=held.overrides,
    )


def _why(choice: SeriesChoice) -> Told:
    """Return a series with why it was not chosen."""
    told = choice.reason
    why = told.values["why"] if isinstance(told, Told) and told.key == REFUSED else told.rstrip(".")
    if choice.series_number is None:
        return tell("decision.none-fit-unnumbered", why=why)
    return tell("decision.none-fit-series", number=choice.series_number, why=why)


@dataclass(frozen=True, kw_only=True)
class HeldStudy:
    """What the index holds of one study."""

    facts: tuple[SeriesFacts, ...]
    instances: Mapping[str, Sequence[Instance]]
    """By SeriesInstanceUID."""
    kept_aside: int
    """Objects of the study that lie beside the index."""
    overrides: Mapping[str, str]
    """Patient and study attributes that an operator has put right: value by keyword."""


def read_study(store: Store, study_id: int) -> HeldStudy:
    """Read a study from the index.

    Raises
    ------
    UnknownSubject
    """
    study = store.studies.by_id(study_id)
    overrides = store.overrides.of(study_id)
    instances = {item.series_instance_uid: store.studies.instances(item.id) for item in study.series}
    return HeldStudy(
        facts=tuple(
            SeriesFacts(
                series=item,
                headers=tuple(
                    overridden_header(instance.header, overrides)
                    for instance in instances[item.series_instance_uid]
                ),
            )
            for item in study.series
        ),
        instances=instances,
        kept_aside=sum(item.reason is not AsideReason.REPLACED for item in store.asides.list(study_id)),
        overrides=overrides,
    )


def _readable(path: Path) -> list[Dataset]:
    """Return an instance of a series that is only mentioned, unless it cannot be read."""
    try:
        return [read_dataset(path)]
    except DicomError as error:
        log.warning("an instance is left out of the evidence: %s", error)
        return []
