"""What pictures say, put together of the phrases of one language; beside `node.report.text`.

A picture travels without the report: it says by itself what it shows, what it does not, and by which model.
No name or number of a patient stands in pixels, and no text that came from another system.
"""

from __future__ import annotations

from typing import Final

from node.domain.result import Finding, Outcome, SliceScore
from node.domain.wording import Wording
from node.imaging.contact_sheet import SheetText
from node.imaging.heatmap import HeatmapCaption, opacity
from node.imaging.scout import ScoutText
from node.report import text

NO_SIDES: Final = ("", "")


def sides(words: Wording) -> tuple[str, str]:
    """Return the marks of the patient's sides at the left and the right edge of an upright image."""
    return words("picture.right"), words("picture.left")


def model_line(words: Wording, finding: Finding) -> str:
    """Return name, version and status of the model."""
    model = finding.model
    status = words(f"status.{model.status.value}")
    return words("picture.model", name=model.name, version=model.version, status=status)


def heatmap_caption(
    words: Wording,
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
    words : Wording
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
    score = finding.slices[index].probability or 0.0
    strength = map_strength(finding, index)
    percent = 100 * strength
    coarse = words("picture.cells", rows=grid[0], columns=grid[1], strength=percent)
    if cell_mm is not None:
        coarse = words("picture.cell", cell=cell_mm, strength=percent)

    def of_kind(key: str) -> str:
        return text.of_kind(words, finding.modality, key)

    return HeatmapCaption(
        banner=words("notice.banner"),
        model=model_line(words, finding),
        strength=strength,
        said=words("picture.score", score=score),
        place=place,
        scale=(words("picture.none"), of_kind("highest")),
        notes=(of_kind("relative"), coarse),
        no_map=of_kind("no-map"),
        sides=sides,
    )


def map_strength(finding: Finding, index: int) -> float:
    """Return the opacity of the map of one image."""
    point = finding.operating_point
    return opacity(finding.slices[index].probability or 0.0, 0.0 if point is None else point.slice_threshold)


def slice_place(words: Wording, finding: Finding, index: int, *, says_from_where: bool = False) -> str:
    """Return which slice of the series one is, counted from the feet."""
    item = finding.slices[index]
    return words(
        "picture.slice-from-feet" if says_from_where else "picture.slice",
        number=index + 1,
        count=len(finding.slices),
        numbered=_numbered(words, item),
        position=item.position,
    )


def radiograph_place(words: Wording, number: int, images: int, view: str) -> str:
    """Return which radiograph of the series one is.

    Parameters
    ----------
    words : Wording
    number : int
        From 1, among those fit for the model.
    images : int
        How many of them there are.
    view : str
        Name of the view.
    """
    return words("picture.radiograph", number=number, count=images, view=view)


def _numbered(words: Wording, item: SliceScore) -> str:
    if item.instance_number is None:
        return words("report.frame", frame=item.frame) if item.frame > 1 else ""
    key = "picture.numbered-frame" if item.frame > 1 else "picture.numbered"
    return words(key, number=item.instance_number, frame=item.frame)


def tile_label(words: Wording, finding: Finding, index: int, rank: int, *, is_mapped: bool) -> str:
    """Return the heading of an image on the contact sheet.

    Parameters
    ----------
    words : Wording
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
        return words("picture.tile-not-scored", rank=rank)
    key = "picture.tile-below"
    if item.positive:
        key = "picture.tile-positive" if is_mapped else "picture.tile-positive-no-map"
    return words(key, rank=rank, score=item.probability)


def sheet_text(words: Wording, finding: Finding, shown: int) -> SheetText:
    """Return the wording of the contact sheet.

    Parameters
    ----------
    words : Wording
    finding : Finding
    shown : int
        How many images it shows.
    """
    return SheetText(
        banner=words("notice.banner"),
        title=text.title(words, finding),
        outcome=text.outcome(words, finding),
        lines=_sheet_lines(words, finding),
        tiles=_heading(words, finding, shown),
        scale=(words("picture.none"), text.of_kind(words, finding.modality, "sheet-scale")),
        note=text.of_kind(words, finding.modality, "sheet-note"),
    )


def _sheet_lines(words: Wording, finding: Finding) -> tuple[str, ...]:
    counts = text.of_kind(
        words,
        finding.modality,
        "counts",
        received=finding.received,
        selected=finding.selected,
        scored=finding.scored,
        positive=finding.positive,
        reason=finding.reason,
    )
    return (
        counts,
        *(words("picture.warning", warning=said) for said in finding.warnings),
        words("picture.model-details", model=model_line(words, finding)),
    )


def _heading(words: Wording, finding: Finding, shown: int) -> str:
    """Return what the images of the contact sheet are."""
    for key, count in (
        ("picture.shown-positive", finding.positive),
        ("picture.shown-scored", finding.scored),
        ("picture.shown-selected", finding.selected),
    ):
        if count:
            return words(key, shown=shown, count=count)
    return words("picture.shown-received", shown=shown, count=finding.received)


def summary_comment(words: Wording, finding: Finding) -> str:
    """Return the ImageComments of the contact sheet."""
    banner, said = words("notice.banner"), text.summary(words, finding)
    return text.marked(words, finding.model.status, words("picture.comment", banner=banner, summary=said))


def summary_derivation(words: Wording, finding: Finding) -> str:
    """Return the DerivationDescription of the contact sheet (VR ST)."""
    model = finding.model
    return text.of_kind(
        words, finding.modality, "summary-derivation", model=model.name, version=model.version
    )


def scout_text(words: Wording, finding: Finding) -> ScoutText:
    """Return the wording of the scout with its plot."""
    point = finding.operating_point
    scored = bool(finding.scored)
    threshold = ""
    if scored and point is not None:
        threshold = words("scout.threshold", threshold=point.slice_threshold)
    elif finding.selection_threshold:
        threshold = words("scout.threshold-dark")
    return ScoutText(
        plot=words("scout.plot" if scored else "scout.plot-dark"),
        ends=("0", "1" if scored else str(max(1, *(item.dark_count for item in finding.slices)))),
        positive=words("scout.positive") if scored else "",
        selected=words("scout.selected" if scored else "scout.selected-dark"),
        not_selected=words("scout.not-selected" if scored else "scout.not-selected-dark"),
        threshold=threshold,
        notes=(
            words("scout.note-left"),
            words("scout.note-numbers"),
            *((words("scout.note-none"),) if not scored else ()),
        ),
        stretched=words("scout.stretched"),
    )


def is_flagged(finding: Finding) -> bool:
    """Whether the page marks the study."""
    return finding.outcome is Outcome.POSITIVE
