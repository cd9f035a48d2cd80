"""Which radiographs of a study are screened, and what their scores mean for it.

A radiograph is judged by itself: what shows the chest from the front, in grey levels whose polarity is
known, is fit for the model. Of the series with such an image the best one is chosen, and all its fit images
are scored.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from node.decide.body_part import CHEST, OTHER_PARTS, other_body_part
from node.decide.choice import REFUSED, judged, second
from node.decide.fitness import still_open
from node.decide.rule import Decision
from node.decide.scope import out_of_age
from node.decide.series_facts import Criteria, SeriesFacts
from node.domain.radiograph import RadiographView
from node.domain.result import OperatingPoint, Outcome, SeriesChoice
from node.domain.study import InstanceHeader, SeriesState
from node.domain.wording import Told, row, tell
from node.imaging.frontal import is_seen_from_the_side

CR_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.1"
DX_FOR_PRESENTATION: Final = "1.2.840.10008.5.1.4.1.1.1.1"
DX_FOR_PROCESSING: Final = "1.2.840.10008.5.1.4.1.1.1.1.1"
RADIOGRAPH_SOP_CLASSES: Final = frozenset({CR_IMAGE, DX_FOR_PRESENTATION})
GREY: Final = frozenset({"MONOCHROME1", "MONOCHROME2"})
POLARITY: Final = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}
"""The PresentationLUTShape that belongs to each PhotometricInterpretation (PS3.3 C.8.11.3.1.2)."""

POSTERO_ANTERIOR: Final = re.compile(r"PA\b|POSTERO-?ANTERIOR")
ANTERO_POSTERIOR: Final = re.compile(r"AP\b|ANTERO-?POSTERIOR")
LATERAL: Final = re.compile(
    r"(?<![A-Z])([LR]{0,2}LAT|LATERALE?|LL|SEITL(ICH)?|PROFIL|OBL(IQUE)?|DECUB(ITUS)?|LORDOTIC)(?![A-Z])"
)
"""Words of descriptions, asked where no attribute names the view; between them stand "_" and digits, too."""
SAYS_NOTHING: Final = frozenset({"", "UNKNOWN", "OTHER", "NONE", "UNDEFINED", "N/A"})
"""Values of BodyPartExamined that name no part."""


class View(IntEnum):
    """Frontal views, in the order in which they are preferred."""

    POSTERO_ANTERIOR = 0
    ANTERO_POSTERIOR = 1
    """Also of a patient in bed, where the heart looks larger and the lungs are less open."""
    NOT_NAMED = 2


VIEW_CODES: Final = {  # CID 4010 in SNOMED CT, and as SNOMED RT, in which most devices in use write it
    "272479007": View.POSTERO_ANTERIOR,
    "R-10214": View.POSTERO_ANTERIOR,
    "R-40888": View.POSTERO_ANTERIOR,
    "399348003": View.ANTERO_POSTERIOR,
    "R-10206": View.ANTERO_POSTERIOR,
    "399033003": View.NOT_NAMED,  # "frontal", of either direction
    "R-10202": View.NOT_NAMED,
}
VIEW_NAMES: Final = {
    View.POSTERO_ANTERIOR: "PA",
    View.ANTERO_POSTERIOR: "AP",
    View.NOT_NAMED: tell("choice.view-not-named"),
}


@dataclass(frozen=True, kw_only=True, order=True)
class Rank:
    """The place of a fit series: the smaller, the better; compared field by field."""

    incomplete: bool
    view: View
    """The best view among its fit images."""
    fewer_images: int
    series_number: int
    series_instance_uid: str


DIFFERENCES: Final = {
    "incomplete": tell("choice.is-complete"),
    "view": tell("choice.better-view"),
    "fewer_images": tell("choice.more-images"),
    "series_number": tell("choice.first-number"),
    "series_instance_uid": tell("choice.first-uid"),
}


def view_of(header: InstanceHeader, view: RadiographView) -> View | None:
    """Return the frontal view that an image shows, None when it is another one.

    ViewPosition decides, else the view code, else the words of the description; directions from front to back
    contradict all of them. A code that is not understood may be that of any view.

    Parameters
    ----------
    header : InstanceHeader
    view : RadiographView
    """
    if is_seen_from_the_side(view.patient_orientation):
        return None
    if view.view_position:
        if LATERAL.search(view.view_position):
            return None
        if POSTERO_ANTERIOR.match(view.view_position):
            return View.POSTERO_ANTERIOR
        return View.ANTERO_POSTERIOR if ANTERO_POSTERIOR.match(view.view_position) else None
    if view.view_code:
        return VIEW_CODES.get(view.view_code)
    return None if LATERAL.search(header.series_description.upper()) else View.NOT_NAMED


def unfit_image(header: InstanceHeader, view: RadiographView | None) -> str | None:
    """Return why one image is not fit for the model, a part of a sentence; None when it is fit.

    Parameters
    ----------
    header : InstanceHeader
    view : RadiographView or None
        None when the stored object could not be read again.
    """
    if header.sop_class_uid == DX_FOR_PROCESSING:
        return tell("unfit.for-processing")
    if header.sop_class_uid not in RADIOGRAPH_SOP_CLASSES:
        return tell("unfit.no-radiograph")
    if view is None:
        return tell("unfit.attributes")
    if view.presentation_intent == "FOR PROCESSING":
        return tell("unfit.for-processing")
    if header.number_of_frames > 1:
        return tell("unfit.frames", frames=header.number_of_frames)
    return _unfit_pixels(header, view) or _unfit_subject(header, view)


def _unfit_pixels(header: InstanceHeader, view: RadiographView) -> str | None:
    if header.samples_per_pixel not in {1, None}:
        return tell("unfit.in-colours")
    if header.photometric_interpretation not in GREY:
        value = header.photometric_interpretation
        return tell("unfit.photometric", value=value) if value else tell("unfit.photometric-absent")
    shape = view.presentation_lut_shape
    if shape and shape != POLARITY[header.photometric_interpretation]:
        return tell("unfit.polarity", photometric=header.photometric_interpretation, shape=shape)
    if tuple(value.upper() for value in header.image_type[:2]) == ("DERIVED", "SECONDARY"):
        return tell("unfit.image-derived")
    return None


def _unfit_subject(header: InstanceHeader, view: RadiographView) -> str | None:
    part = other_body_part(header) or _other_part_by_words(header)
    if part is not None:
        return tell("unfit.body-part", part=part)
    if header.body_part_examined.upper() not in SAYS_NOTHING and not names_the_chest(header):
        # Radiographs are made of every part, and no list of parts names them all.
        return tell("unfit.not-chest", part=header.body_part_examined)
    if view_of(header, view) is None:
        return tell("unfit.not-frontal", named=_view_named(header, view))
    return None


def _view_named(header: InstanceHeader, view: RadiographView) -> str:
    """Return by what an image that is not a frontal view says so."""
    if is_seen_from_the_side(view.patient_orientation):
        return tell("unfit.view-orientation", directions="/".join(view.patient_orientation))
    if view.view_position:
        return view.view_position
    if view.view_code:
        return tell("unfit.view-code", code=view.view_code)
    return tell("unfit.view-described", description=header.series_description)


def _other_part_by_words(header: InstanceHeader) -> str | None:
    """Return another part that the descriptions name, where BodyPartExamined, often empty, says nothing."""
    said = header.body_part_examined.upper() not in SAYS_NOTHING
    words = f"{header.series_description} {header.study_description}".upper()
    found = None if said or CHEST.search(words) else OTHER_PARTS.search(words)
    return None if found is None else found[0]


def names_the_chest(header: InstanceHeader) -> bool:
    """Whether any attribute says that the chest is shown."""
    words = f"{header.body_part_examined} {header.series_description} {header.study_description}"
    return CHEST.search(words.upper()) is not None


def fit_images(facts: SeriesFacts, views: Mapping[str, RadiographView]) -> tuple[InstanceHeader, ...]:
    """Return the images of a series that are fit for the model, by InstanceNumber.

    Parameters
    ----------
    facts : SeriesFacts
    views : mapping
        By SOPInstanceUID, of every radiograph that could be read.
    """
    fit = [item for item in facts.headers if unfit_image(item, views.get(item.sop_instance_uid)) is None]
    return tuple(sorted(fit, key=place_of))


def place_of(header: InstanceHeader) -> tuple[int, str]:
    """Return the key by which the images of a series are put in order."""
    number = header.instance_number
    return (2**31 if number is None else number), header.sop_instance_uid


def choose_radiographs(
    facts: Sequence[SeriesFacts], views: Mapping[str, RadiographView], criteria: Criteria
) -> tuple[SeriesChoice, ...]:
    """Judge every series of a study and choose at most one.

    Parameters
    ----------
    facts : sequence of SeriesFacts
        All series of the study.
    views : mapping
        By SOPInstanceUID, of every radiograph that could be read.
    criteria : Criteria
        Of its scope only the age is asked: radiographs have neither slices nor a known size in the patient.

    Returns
    -------
    tuple of SeriesChoice
        One a series, in the order given; the outcome does not depend on that order.
    """
    refusals = [_unfit(item, views, criteria) for item in facts]
    fit = [item for item, refusal in zip(facts, refusals, strict=True) if refusal is None]
    ranks = {item.series.series_instance_uid: _rank(item, views) for item in fit}
    best = min(fit, key=lambda item: ranks[item.series.series_instance_uid], default=None)
    choices = []
    for item, refusal in zip(facts, refusals, strict=True):
        if refusal is not None or best is None:
            reason = tell(REFUSED, why=refusal)
        elif item is best:
            reason = tell("choice.chosen", features=_features(item, views))
        else:
            mine, first = (ranks[one.series.series_instance_uid] for one in (item, best))
            field = next(name for name in DIFFERENCES if getattr(mine, name) != getattr(first, name))
            reason = second(_features(item, views), best, DIFFERENCES[field])
        choices.append(judged(item, chosen=item is best, eligible=refusal is None, reason=reason))
    return tuple(choices)


def holds_chest_radiograph(facts: Sequence[SeriesFacts]) -> bool:
    """Whether a study holds a radiograph of the chest, or of an unknown body part: then a report is due.

    Parameters
    ----------
    facts : sequence of SeriesFacts
        All series of the study.
    """
    return any(
        header.sop_class_uid in RADIOGRAPH_SOP_CLASSES | {DX_FOR_PROCESSING}
        and other_body_part(header) is None
        and _other_part_by_words(header) is None
        for item in facts
        for header in item.headers
    )


def decide_radiographs(k: int, n: int, point: OperatingPoint) -> Decision:
    """Decide on a study by the share of positive images among the scored ones.

    Parameters
    ----------
    k : int
        Number of positive images.
    n : int
        Number of frontal images, each with a score; at least one.
    point : OperatingPoint
        Its ``share`` is inclusive.

    Raises
    ------
    ValueError
        When ``k`` is not within 0..n, or there is no image.
    """
    if not 0 <= k <= n or n == 0:
        raise ValueError(f"{k} positive images of {n} scored ones is impossible")
    reached = k * point.share.denominator >= point.share.numerator * n
    return Decision(
        outcome=Outcome.POSITIVE if reached else Outcome.NEGATIVE,
        reason=tell(
            "decision.image" if n == 1 else "decision.images",
            k=k,
            n=n,
            threshold=point.slice_threshold,
            point=point.name,
            share=point.share,
            share_percent=100 * float(point.share),
        ),
    )


def _unfit(
    facts: SeriesFacts, views: Mapping[str, RadiographView], criteria: Criteria
) -> str | tuple[str, ...] | None:
    if not facts.headers:
        return tell("unfit.nothing-stored")
    reasons = Counter(unfit_image(item, views.get(item.sop_instance_uid)) for item in facts.headers)
    if None not in reasons:
        return _listed(reasons)
    return still_open(facts, criteria) or out_of_age(
        facts.headers, criteria.scope, accept_unknown=criteria.accept_unknown_age
    )


def _listed(reasons: Counter[str | None]) -> str | tuple[str, ...]:
    """Return the reasons of the images, with how many have each where there are several."""
    if len(reasons) == 1:
        return next(iter(reasons)) or ""
    counted = sorted(reasons.items(), key=str)
    return tuple(tell("unfit.counted", count=count, reason=reason) for reason, count in counted)


def _rank(facts: SeriesFacts, views: Mapping[str, RadiographView]) -> Rank:
    images = fit_images(facts, views)
    number = facts.series.series_number
    return Rank(
        incomplete=facts.series.state is SeriesState.INCOMPLETE,
        view=min(_views(images, views)),
        fewer_images=-len(images),
        series_number=number if number is not None else 2**31,
        series_instance_uid=facts.series.series_instance_uid,
    )


def _views(images: Sequence[InstanceHeader], views: Mapping[str, RadiographView]) -> list[View]:
    found = (view_of(item, views[item.sop_instance_uid]) for item in images)
    return [view for view in found if view is not None]


def _features(facts: SeriesFacts, views: Mapping[str, RadiographView]) -> Told:
    images = fit_images(facts, views)
    names = row([VIEW_NAMES[view] for view in _views(images, views)])
    others = len(facts.headers) - len(images)
    rest = tell("choice.rest-one" if others == 1 else "choice.rest", count=others) if others else ""
    key = "choice.image" if len(images) == 1 else "choice.images"
    return tell(key, count=len(images), views=names, rest=rest)
