"""Scoring a stored series again, to see whether the stored scores come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from node.dicom.radiograph import RadiographSource, read_view
from node.dicom.slices import SliceSource, slice_sources
from node.domain.errors import HandshakeFailed, UnknownSubject
from node.domain.input_spec import InputSpec
from node.domain.model import ModelIdentity
from node.domain.ports import Scorer
from node.domain.preparation_spec import InputModality
from node.domain.result import Finding, SliceScore
from node.domain.study import Instance
from node.imaging.selection import dark_count, select
from node.infer.bundle import Bundle
from node.run.scoring import Image, score
from node.store.store import Store


@dataclass(frozen=True, kw_only=True)
class ScoreDifference:
    """One image whose score did not come out."""

    slice: SliceScore
    """As it is stored."""
    found: float | None
    """What came out; None where the image is not in the study any more."""

    @property
    def difference(self) -> float | None:
        """How far the two lie apart."""
        if self.found is None or self.slice.probability is None:
            return None
        return abs(self.found - self.slice.probability)


@dataclass(frozen=True, kw_only=True)
class SelectionDifference:
    """One slice that is not selected as it was, or whose lungs are not seen as large as they were."""

    slice: SliceScore
    """As it is stored."""
    dark_count: int | None
    """What came out; None where the slice is not in the study any more."""
    selected: bool


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What became of a finding's scores and selection."""

    identity: ModelIdentity
    """Who scored again."""
    compared: int
    """Images with a stored score."""
    tolerance: float
    largest: float
    """Largest difference of a score, those within the tolerance too."""
    differing: tuple[ScoreDifference, ...]
    looked_at: int
    """Slices that the finding tells of; 0 for radiographs, all of which are scored where they are fit."""
    selected_otherwise: tuple[SelectionDifference, ...]


def verify(
    store: Store,
    study_id: int,
    finding: Finding,
    bundle: Bundle,
    scorer: Scorer[NDArray[np.float32]],
    *,
    tolerance: float,
    batch: int,
    decoders: int,
) -> Verification:
    """Select the slices of a finding again, score again what it scored, and compare.

    Parameters
    ----------
    store : Store
    study_id : int
    finding : Finding
    bundle : Bundle
        Of the finding's model and version.
    scorer : Scorer
        The bundle's engine, at the finding's precision.
    tolerance : float
        Largest difference of a score that is none.
    batch : int
        Images in one request.
    decoders : int
        Threads that decode and prepare.

    Raises
    ------
    HandshakeFailed
        The bundle is not the one that answered.
    UnknownSubject
        The finding has no scores.
    DicomError, EngineUnavailable, ScoresInvalid
    """
    _refuse_others(finding.model, scorer.identity)
    stored = [item for item in finding.slices if item.probability is not None]
    if not stored:
        raise UnknownSubject("the study has no scores to verify; see `studies show`")
    images = _images(store, study_id, finding)
    present = [item for item in stored if _key(item) in images]
    with ThreadPoolExecutor(decoders, thread_name_prefix="decoder") as pool:
        scored = score(
            [images[_key(item)] for item in present],
            bundle.spec,
            scorer,
            pool,
            batch=min(batch, bundle.config.max_batch_size),
            advanced=_unwatched,
        )
        selected = _selected_otherwise(finding, bundle.spec, images, pool)
    found = {_key(item): answer.probability for item, answer in zip(present, scored, strict=True)}
    judged = _judged(scorer.identity, stored, found, tolerance)
    if finding.modality is InputModality.CR:
        return judged
    return replace(judged, looked_at=len(finding.slices), selected_otherwise=selected)


def _selected_otherwise(
    finding: Finding, spec: InputSpec, images: Mapping[tuple[str, int], Image], pool: ThreadPoolExecutor
) -> tuple[SelectionDifference, ...]:
    """Select anew among all slices that are there, and return what comes out otherwise than it stands."""
    slices = {key: image for key, image in images.items() if isinstance(image, SliceSource)}
    dark = partial(_dark_count, spec=spec)
    counts = dict(zip(slices, pool.map(dark, slices.values()), strict=True))
    order = list(counts)
    kept = {order[index] for index in select(list(counts.values()), spec.selection).kept} if order else set()
    told = {
        _key(item): SelectionDifference(
            slice=item, dark_count=counts.get(_key(item)), selected=_key(item) in kept
        )
        for item in finding.slices
    }
    return tuple(
        found
        for found in told.values()
        if (found.dark_count, found.selected) != (found.slice.dark_count, found.slice.selected)
    )


def _dark_count(source: SliceSource, *, spec: InputSpec) -> int:
    return dark_count(source.v(), spec.selection).count


def _unwatched(done: int, total: int) -> None:
    """Tell nobody how far it is."""
    del done, total


def _judged(
    identity: ModelIdentity,
    stored: Sequence[SliceScore],
    found: dict[tuple[str, int], float],
    tolerance: float,
) -> Verification:
    all_of_them = [ScoreDifference(slice=item, found=found.get(_key(item))) for item in stored]
    return Verification(
        identity=identity,
        compared=len(stored),
        tolerance=tolerance,
        largest=max((item.difference or 0.0 for item in all_of_them), default=0.0),
        differing=tuple(
            item for item in all_of_them if item.difference is None or not item.difference <= tolerance
        ),
        looked_at=0,
        selected_otherwise=(),
    )


def _refuse_others(stored: ModelIdentity, now: ModelIdentity) -> None:
    for what in ("name", "version", "spec_sha256", "weights_sha256", "precision"):
        before, found = getattr(stored, what), getattr(now, what)
        if before != found:
            raise HandshakeFailed(
                f"the finding was made with {what} {before}, and {found} would verify it; "
                "install the version that answered"
            )


def _images(store: Store, study_id: int, finding: Finding) -> dict[tuple[str, int], Image]:
    """Return the images of the screened series by SOPInstanceUID and frame."""
    study = store.studies.by_id(study_id)
    instances = [
        instance
        for series in study.series
        if series.series_instance_uid == finding.series_instance_uid
        for instance in store.studies.instances(series.id)
    ]
    if finding.modality is InputModality.CR:
        return {(item.header.sop_instance_uid, 1): _radiograph(store, item) for item in instances}
    sources = slice_sources(instances, store.files.path, store.codecs)
    return {(item.header.sop_instance_uid, item.frame): item for item in sources}


def _radiograph(store: Store, instance: Instance) -> RadiographSource:
    path = store.files.path(instance.object_key)
    return RadiographSource(header=instance.header, path=path, view=read_view(path), codecs=store.codecs)


def _key(item: SliceScore) -> tuple[str, int]:
    return item.sop_instance_uid, item.frame
