"""The wording on pictures, in English (ASCII); beside `node.report.text`, and by the same rules.

A picture travels without the report: it says by itself what it shows, what it does not, and by which model.
No name or number of a patient stands in pixels, and no text that came from another system.
"""

from __future__ import annotations

from typing import Final

from node.domain.preparation_spec import InputModality
from node.domain.result import Finding, Outcome, SliceScore
from node.imaging.contact_sheet import SheetText
from node.imaging.heatmap import HeatmapCaption, opacity
from node.imaging.scout import ScoutText
from node.report import text

SIDES: Final = ("R", "L")
"""Marks of the patient's sides at the left and the right edge of an image in display orientation."""
NO_SIDES: Final = ("", "")
FROM_THE_FEET: Final = "counted from the feet"
_COUNTS: Final = {
    InputModality.CT: "Slices: {received} received, {selected} with open lungs selected, {scored} scored, "
    "{positive} positive",
    InputModality.CR: "Images: {received} received, {selected} fit for the model, {scored} scored, "
    "{positive} positive",
}


def model_line(finding: Finding) -> str:
    """Return name, version and status of the model."""
    model = finding.model
    return f"Model {model.name}, version {model.version}, {model.status.value}"


def heatmap_caption(
    finding: Finding,
    index: int,
    *,
    place: str,
    grid: tuple[int, int],
    cell_mm: float | None,
    sides: tuple[str, str],
) -> HeatmapCaption:
    """Return what stands beside the map of one image.

    Parameters
    ----------
    finding : Finding
    index : int
        Of the image in ``finding.slices``.
    place : str
        Which one of the study's it is.
    grid : (rows, columns)
        Cells of the map.
    cell_mm : float or None
        Longer side of one cell in the patient; None where it is not known.
    sides : (left edge, right edge)
    """
    image = text.WORDS[finding.modality].image
    score = finding.slices[index].probability or 0.0
    rows, columns = grid
    strength = map_strength(finding, index)
    coarse = (
        f"The map has {rows} x {columns} cells" if cell_mm is None else f"One cell is about {cell_mm:.0f} mm"
    )
    return HeatmapCaption(
        banner=text.NOT_DIAGNOSTIC,
        model=model_line(finding),
        strength=strength,
        said=f"Model score {score:.3f} (not a probability of disease)",
        place=place,
        scale=("none", f"highest activation in this {image}"),
        notes=(
            f"Relative within this {image}; not a lesion outline.",
            f"{coarse}. Opacity follows the score (here {100 * strength:.0f} %).",
        ),
        no_map=f"No map: no part of this {image} raised the score.",
        sides=sides,
    )


def map_strength(finding: Finding, index: int) -> float:
    """Return the opacity of the map of one image."""
    point = finding.operating_point
    return opacity(finding.slices[index].probability or 0.0, 0.0 if point is None else point.slice_threshold)


def slice_place(finding: Finding, index: int) -> str:
    """Return which slice of the series one is, counted from the feet."""
    item = finding.slices[index]
    return f"Slice {index + 1} of {len(finding.slices)}{_numbered(item)}, {item.position:.1f} mm"


def radiograph_place(number: int, images: int, view: str) -> str:
    """Return which radiograph of the series one is.

    Parameters
    ----------
    number : int
        From 1, among those fit for the model.
    images : int
        How many of them there are.
    view : str
        Name of the view.
    """
    return f"Image {number} of {images}, {view}"


def _numbered(item: SliceScore) -> str:
    number = "" if item.instance_number is None else f", instance {item.instance_number}"
    return f"{number} frame {item.frame}" if item.frame > 1 else number


def tile_label(finding: Finding, index: int, rank: int, *, is_mapped: bool) -> str:
    """Return the heading of an image on the contact sheet.

    Parameters
    ----------
    finding : Finding
    index : int
        Of the image in ``finding.slices``.
    rank : int
        From 1, in the order of the sheet.
    is_mapped : bool
        Whether some part of the image raised the score, so that there is a map.
    """
    item = finding.slices[index]
    if item.probability is None:
        return f"{rank}: not scored"
    standing = "below the threshold"
    if item.positive:
        standing = "positive" if is_mapped else "positive, no map"
    return f"{rank}: score {item.probability:.3f}, {standing}"


def sheet_text(finding: Finding, shown: int) -> SheetText:
    """Return the wording of the contact sheet.

    Parameters
    ----------
    finding : Finding
    shown : int
        How many images it shows.
    """
    image = text.WORDS[finding.modality].image
    return SheetText(
        banner=text.NOT_DIAGNOSTIC,
        title=text.title(finding),
        outcome=text.OUTCOMES[finding.outcome],
        lines=_sheet_lines(finding),
        tiles=_heading(finding, shown),
        scale=("none", f"highest activation in that {image}: colours cannot be compared between images"),
        note=(
            f"Colours show where the network looked, relative within each {image}; not a lesion outline. "
            f"Opacity follows the {image}'s score. A score is not a probability of disease."
        ),
    )


def _sheet_lines(finding: Finding) -> tuple[str, ...]:
    counts = _COUNTS[finding.modality].format(
        received=finding.received,
        selected=finding.selected,
        scored=finding.scored,
        positive=finding.positive,
    )
    lines = [f"{counts}. {finding.reason}"]
    lines += [f"Warning: {said}" for said in finding.warnings]
    lines.append(f"{model_line(finding)}. The report of the same study has the details.")
    return tuple(lines)


def _heading(finding: Finding, shown: int) -> str:
    """Return what the images of the contact sheet are."""
    if finding.positive:
        return f"Positive, highest scores first: {shown} of {finding.positive}"
    if finding.scored:
        return f"None is positive, so no map is drawn. Highest scores first: {shown} of {finding.scored}"
    if finding.selected:
        return f"Selected, not scored: {shown} of {finding.selected}"
    return f"None was selected, none was scored: {shown} of {finding.received}"


def summary_comment(finding: Finding) -> str:
    """Return the ImageComments of the contact sheet."""
    return text.marked(finding.model.status, f"{text.NOT_DIAGNOSTIC}. {text.summary(finding)}")


def summary_derivation(finding: Finding) -> str:
    """Return the DerivationDescription of the contact sheet (VR ST)."""
    model, image = finding.model, text.WORDS[finding.modality].image
    return (
        f"Contact sheet of the screening by {model.name} {model.version}: each {image} with one of the "
        "highest scores, the positive ones under their gradient-weighted class activation (Grad-CAM). "
        "Not a lesion outline."
    )


def scout_text(finding: Finding) -> ScoutText:
    """Return the wording of the scout with its plot."""
    point = finding.operating_point
    scored = bool(finding.scored)
    threshold = ""
    if scored and point is not None:
        threshold = f"slice threshold {point.slice_threshold:g}"
    elif finding.selection_threshold:
        threshold = "selected above this number"
    return ScoutText(
        plot="model score of each slice" if scored else "dark pixels of each slice",
        ends=("0", "1" if scored else str(max(1, *(item.dark_count for item in finding.slices)))),
        positive="positive: reaches the threshold" if scored else "",
        selected="selected: lungs open" if scored else "selected",
        not_selected="not selected, not scored" if scored else "not selected",
        threshold=threshold,
        notes=(
            "Left: mean CT number from front to back, head above.",
            "1, 2, ...: the slices below. mm: slice position.",
            *(("No slice was scored.",) if not scored else ()),
        ),
        stretched="Stretched from feet to head, for the series is short.",
    )


def is_flagged(finding: Finding) -> bool:
    """Whether the page marks the study."""
    return finding.outcome is Outcome.POSITIVE
