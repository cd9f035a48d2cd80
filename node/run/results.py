"""The result set of one screening: its recipe, its heatmaps and its objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydicom.dataset import Dataset

from node.decide.shown import strongest
from node.domain.identity import digest
from node.domain.result import Finding, ResultObject
from node.domain.wording import ENGLISH
from node.imaging.arrays import Grey, Real
from node.report.frame_place import place_of
from node.report.identity import RecipeParts, recipe
from node.report.inherited import attributes_digest
from node.report.request import BuiltObject, HeatmapPicture, MapSlice, Producer
from node.report.text import series_name
from node.run.findings import Method
from node.store.object_files import LocalObjectFiles


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The heatmap of one image."""

    rgb: Grey
    """Array of shape (rows, columns, 3)."""
    directions: tuple[str, ...]
    """PatientOrientation (0020,0020) of the picture; empty where unknown."""


class Analysis(Protocol):
    """What was seen on the screened series."""

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """For each image of the finding: SOPInstanceUID with frame number, and the digest of its pixels."""
        ...

    def picture(self, finding: Finding, index: int) -> Picture:
        """Render the heatmap of an image with a score.

        Parameters
        ----------
        finding : Finding
        index : int
            Of the image in ``finding.slices``.

        Raises
        ------
        DicomError
            The image cannot be decoded again.
        """
        ...

    def activation(self, finding: Finding, index: int) -> Real:
        """Return the class activation map of an image with a score, laid over its stored pixels.

        Parameters
        ----------
        finding : Finding
        index : int
            Of the image in ``finding.slices``.

        Returns
        -------
        float32 array, shape (rows, columns)
            As `node.report.request.MapSlice.values`.

        Raises
        ------
        DicomError
            The file cannot be read again.
        """
        ...

    def sheet(self, finding: Finding) -> Grey | None:
        """Render the contact sheet of what was seen: array of shape (rows, columns, 3).

        None when nothing can be shown.

        Raises
        ------
        DicomError
            An image cannot be decoded again.
        """
        ...


def recipe_of(
    how: Method,
    finding: Finding,
    analysis: Analysis | None,
    evidence: Sequence[Dataset],
    sop_instance_uids: Sequence[str],
    *,
    max_heatmaps: int,
    kinds: tuple[str, ...],
    kept_aside: int,
    producer: Producer,
) -> str:
    """Return the digest of all that decides the content of the result set.

    Parameters
    ----------
    how : Method
    finding : Finding
    analysis : Analysis or None
        None when no series was analysed.
    evidence : sequence of Dataset
        The first of them gives the patient and study attributes.
    sop_instance_uids : sequence of str
        Every instance of the study.
    max_heatmaps : int
    kinds : tuple of str
        Kinds of objects asked for beside report and heatmaps.
    kept_aside : int
        Objects of the study beside the index.
    producer : Producer
    """
    inputs = tuple((uid, "") for uid in sop_instance_uids)
    if analysis is not None:
        inputs = analysis.inputs
    point = how.point
    return recipe(
        RecipeParts(
            inputs=inputs,
            attributes=attributes_digest(evidence[0]),
            places=_places(finding, evidence),
            choices=_said(finding, kept_aside),
            selection_rule=how.rule_text,
            operating_point=f"{point.name} {point.slice_threshold} {point.share} {point.validated}",
            spec_sha256=how.model.spec_sha256,
            weights_sha256=how.model.weights_sha256,
            engine=how.model.engine,
            engine_version=f"{how.model.engine_version} on {how.model.device}",
            precision=how.model.precision.value,
            max_heatmaps=max_heatmaps,
            kinds=kinds,
            producer=str(producer),
        )
    )


def _places(finding: Finding, evidence: Sequence[Dataset]) -> str:
    """Return the digest of what pictures, maps and report say of each image beside its pixels."""
    headers = {str(item.SOPInstanceUID): item for item in evidence}
    lines = [
        f"{item.sop_instance_uid} {item.frame} {item.instance_number} {item.position} "
        f"{place_of(headers.get(item.sop_instance_uid), item.frame)}"
        for item in finding.slices
    ]
    return digest("places", lines)


def _said(finding: Finding, kept_aside: int) -> tuple[str, ...]:
    """Return what the report says in words: settings that change nothing else still change these."""
    series = (
        f"{item.series_instance_uid} {series_name(ENGLISH, item)} {item.state} {item.chosen} {item.eligible} "
        f"{item.reason} {item.verdict} {item.verdict_reason}"
        for item in finding.choices
    )
    aside = [f"kept aside {kept_aside}"] if kept_aside else []
    outcome = f"outcome {finding.outcome} {finding.run_outcome} {finding.reason}"
    return (*series, *aside, outcome, *(f"warning {said}" for said in finding.warnings))


def recipe_in_turn(made_by: str, recipes: Sequence[str], in_force: str | None) -> str:
    """Return the recipe of the version that a screening makes: the one in force when nothing changed.

    Its number and its predecessor are part of what a version says, so its recipe follows from that of the
    version before it. Nothing is issued again under a UID that was ever in a version: where a model or a
    setting was taken back the archive has the first objects already, and the later ones would stand there as
    the last word; after a withdrawal it may refuse what it was told to reject (IHE IOCM).

    Parameters
    ----------
    made_by : str
        From `recipe_of`.
    recipes : sequence of str
        Of all versions, oldest first.
    in_force : str or None
        Recipe of the last version, where that is in force; None when it was withdrawn, or there is none.
    """
    if in_force is not None:
        unchanged = {_after(made_by, recipes[:-1], withdrawn=withdrawn) for withdrawn in (False, True)}
        if in_force in unchanged:
            return in_force
    return _after(made_by, recipes, withdrawn=in_force is None)


def _after(made_by: str, earlier: Sequence[str], *, withdrawn: bool) -> str:
    """Return the recipe of the version that follows others; the last was withdrawn, or it is replaced."""
    if not earlier:
        return made_by
    return digest("after", made_by, earlier[-1], "withdrawn" if withdrawn else "replaced")


def pictures(
    finding: Finding, analysis: Analysis, *, limit: int, advanced: Callable[[int, int], None]
) -> list[HeatmapPicture]:
    """Render the heatmaps of the strongest positive images.

    Parameters
    ----------
    finding : Finding
    analysis : Analysis
    limit : int
        Most heatmaps.
    advanced : callable
        Takes the number of heatmaps done, and of all.
    """
    shown = strongest(finding, limit)
    made = []
    for rank, index in enumerate(shown, start=1):
        picture = analysis.picture(finding, index)
        made.append(
            HeatmapPicture(
                slice=finding.slices[index], rgb=picture.rgb, rank=rank, directions=picture.directions
            )
        )
        advanced(rank, len(shown))
    return made


def maps(finding: Finding, analysis: Analysis, *, limit: int) -> list[MapSlice]:
    """Return the maps of the images that have heatmaps, by the same ranks.

    Parameters
    ----------
    finding : Finding
    analysis : Analysis
    limit : int
        Most heatmaps.
    """
    return [
        MapSlice(slice=finding.slices[index], values=analysis.activation(finding, index), rank=rank)
        for rank, index in enumerate(strongest(finding, limit), start=1)
    ]


def store_objects(files: LocalObjectFiles, built: Sequence[BuiltObject]) -> list[ResultObject]:
    """Make built objects durable; they count only once their rows are written.

    Raises
    ------
    OutOfSpace, StoreError
    """
    rows = []
    for item in built:
        stored = files.store(item.data)
        rows.append(
            ResultObject(
                kind=item.kind,
                index=item.index,
                sop_class_uid=item.sop_class_uid,
                sop_instance_uid=item.sop_instance_uid,
                series_instance_uid=item.series_instance_uid,
                transfer_syntax_uid=item.transfer_syntax_uid,
                object_key=stored.key,
                sha256=stored.sha256,
                size=stored.size,
            )
        )
    return rows
