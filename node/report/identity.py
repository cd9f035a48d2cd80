"""Identity of the objects made: every UID follows from what decides the content, none is random.

A changed recipe gives new SOP Instance UIDs; the same recipe gives the same ones, so an object that exists is
never built again and a study that is sent twice makes nothing new.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

from node.domain.identity import derived_uid, digest
from node.domain.model import ModelIdentity
from node.domain.result import ResultKind

BUILDER_VERSION: Final = "4"
"""To be raised with every change of what the builder writes."""

SERIES_NUMBERS: Final = {
    ResultKind.REPORT: 8800,
    ResultKind.HEATMAP: 8801,
    ResultKind.SUMMARY: 8802,
    ResultKind.PARAMETRIC_MAP: 8803,
    ResultKind.KEY_OBJECTS: 8804,
    ResultKind.REJECTION: 8805,
}
"""SeriesNumber (0020,0011) of each kind; far above what scanners count to."""

SOP_CLASSES: Final = {  # PS3.4 B.5
    ResultKind.REPORT: "1.2.840.10008.5.1.4.1.1.88.34",
    ResultKind.HEATMAP: "1.2.840.10008.5.1.4.1.1.7",
    ResultKind.SUMMARY: "1.2.840.10008.5.1.4.1.1.7",
    ResultKind.PARAMETRIC_MAP: "1.2.840.10008.5.1.4.1.1.30",
    ResultKind.KEY_OBJECTS: "1.2.840.10008.5.1.4.1.1.88.59",
    ResultKind.REJECTION: "1.2.840.10008.5.1.4.1.1.88.59",
}
"""Comprehensive 3D SR, Secondary Capture, Parametric Map, Key Object Selection Document."""

MAX_HEATMAPS: Final = 999
"""Most heatmaps of one version: their InstanceNumber is 1000 x version + rank."""


@dataclass(frozen=True, kw_only=True)
class RecipeParts:
    """All that decides the content of a result set."""

    inputs: tuple[tuple[str, str], ...]
    """For each frame looked at: SOPInstanceUID with its frame number, and the digest of its decoded pixels.
    Where no series was analysed: the instances of the study, with an empty digest. The order is free."""
    attributes: str
    """Digest of the attributes copied; see `node.report.inherited.attributes_digest`."""
    places: str
    """Digest of number and place of each image looked at."""
    choices: tuple[str, ...]
    """One line for each series found: its UID, what it is called, whether it was screened and why, and its
    completeness verdict; one for the objects of the study that were kept aside, where there are any; one for
    the outcome with its reason, and one for each warning."""
    selection_rule: str
    """Name and numbers of the rule, with what settings override."""
    operating_point: str
    """Name and numbers of the operating point."""
    spec_sha256: str
    weights_sha256: str
    engine: str
    engine_version: str
    precision: str
    max_heatmaps: int
    kinds: tuple[str, ...]
    """Kinds of objects asked for beside report and heatmaps."""
    producer: str
    """The equipment that the objects name: two nodes never give one UID to objects of their own."""
    builder_version: str = BUILDER_VERSION


def recipe(parts: RecipeParts) -> str:
    """Return the digest (SHA-256, hexadecimal) of all that decides the content of a result set."""
    values = {field.name: getattr(parts, field.name) for field in dataclasses.fields(parts)}
    inputs = sorted("=".join(pair) for pair in values.pop("inputs"))
    choices = sorted(values.pop("choices"))
    return digest("recipe", inputs, choices, [f"{name}={values[name]}" for name in sorted(values)])


def result_series_uid(
    study_instance_uid: str, model_name: str, kind: ResultKind, frame_of_reference_uid: str = ""
) -> str:
    """Return the SeriesInstanceUID of one kind of result: the same for every version.

    Parameters
    ----------
    study_instance_uid : str
    model_name : str
    kind : ResultKind
    frame_of_reference_uid : str
        Of images that have one: a series has no two (PS3.3 A.1.2.3), and a version may rest on another scan.
    """
    subject = (study_instance_uid, model_name, kind.value)
    return derived_uid("result series", *subject, *filter(None, (frame_of_reference_uid,)))


def result_uid(series_instance_uid: str, kind: ResultKind, index: int, recipe: str) -> str:
    """Return the SOPInstanceUID of one result object.

    Parameters
    ----------
    series_instance_uid : str
        From `result_series_uid`, without a frame of reference.
    kind : ResultKind
    index : int
        As in `node.domain.result.ResultObject`.
    recipe : str
        From `recipe`; of a rejection the digest of what it withdraws and why.
    """
    return derived_uid("result", series_instance_uid, kind.value, str(index), recipe)


def device_uid(model: ModelIdentity) -> str:
    """Return the DeviceUID (0018,1002) of the algorithm: it changes with the weights."""
    return device_uid_of(model.name, model.version, model.weights_sha256)


def device_uid_of(name: str, version: int, weights_sha256: str) -> str:
    """Return the DeviceUID (0018,1002) of a model that need not be loaded."""
    return derived_uid("device", name, str(version), weights_sha256)


def algorithm_version(model: ModelIdentity) -> str:
    """Return the version that the report and its Contributing Equipment name: number and weights."""
    return f"{model.version}+{model.weights_sha256[:12]}"


def tracking_uid(study_instance_uid: str, model_name: str, subject: str) -> str:
    """Return the Tracking Unique Identifier of a measurement group: the same for every version."""
    return derived_uid("tracking", study_instance_uid, model_name, subject)


def dimension_uid(sop_instance_uid: str) -> str:
    """Return the DimensionOrganizationUID (0020,9164) of a multi-frame object."""
    return derived_uid("dimension", sop_instance_uid)


def frame_of_reference_uid(subject: str) -> str:
    """Return the FrameOfReferenceUID (0020,0052) of what has none."""
    return derived_uid("frame of reference", subject)


def instance_number(kind: ResultKind, version: int, index: int) -> int:
    """Return the InstanceNumber (0020,0013): the version, of objects that are ranked the version and rank.

    A rejection's version is the one that it withdraws.
    """
    if kind is ResultKind.REJECTION or index == 0:
        return version
    return version * (MAX_HEATMAPS + 1) + index
