"""A structured report of this node as readable text, made of its tree alone."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from pydicom.dataset import Dataset

from node.domain.errors import NotAReport
from node.domain.preparation_spec import InputModality
from node.domain.result import ResultKind
from node.domain.wording import Wording, known_wording
from node.report import codes
from node.report.content import one_line
from node.report.identity import SOP_CLASSES
from node.report.reading import Node
from node.report.text import of_kind

WIDTH: Final = 100
LABEL_WIDTH: Final = 26
INDENT: Final = "  "


def report_text(data_set: Dataset) -> str:
    """Return a report as text for a terminal or a file.

    Parameters
    ----------
    data_set : pydicom.dataset.Dataset
        A structured report made by this node. It is shown as it is, the patient's identity included.

    Returns
    -------
    str
        Lines of at most about 100 characters, with a newline at the end.

    Raises
    ------
    NotAReport
        The object is no structured report of this node.
    """
    root = Node(data_set)
    if str(data_set.get("SOPClassUID", "")) != SOP_CLASSES[ResultKind.REPORT] or not root.all(codes.SUMMARY):
        raise NotAReport("this object is no report of Groundglass; give one of its structured reports")
    groups = root.first(codes.IMAGING_MEASUREMENTS).all(codes.MEASUREMENT_GROUP) or [Node(Dataset())]
    study, images = groups[0], groups[1:]
    modality, words = _modality(study), known_wording(root.first(codes.LANGUAGE).code)
    sections = (
        _head(root),
        _section(words("heading.study"), _study(words, data_set)),
        _section(words("heading.outcome"), _outcome(words, study)),
        _section(words("heading.warnings"), _bullets([item.text for item in study.all(codes.WARNING)])),
        _section(words("heading.numbers"), _numbers(words, study, codes.COUNTED[modality])),
        _section(
            f"{of_kind(words, modality, 'images')} ({len(images)})", _images(words, study, images, modality)
        ),
        _section(words("heading.series"), _series(root.first(codes.SERIES_FOUND).all(codes.ONE_SERIES))),
        _section(words("heading.model"), _model(words, root, study)),
    )
    return "\n\n".join("\n".join(lines) for lines in map(list, sections) if lines) + "\n"


def _head(root: Node) -> Iterator[str]:
    title = root.first(codes.DOCUMENT_TITLE).text
    yield title
    yield "=" * min(len(title), WIDTH)
    yield from textwrap.wrap(root.first(codes.SUMMARY).text, WIDTH)
    yield ""
    yield from textwrap.wrap(root.first(codes.NOTICE).text, WIDTH)


def _section(heading: str, lines: Iterator[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield heading
        yield "-" * len(heading)
        yield from found


def _line(label: str, value: str) -> Iterator[str]:
    if value:
        first = f"{INDENT}{label:<{LABEL_WIDTH}}"
        rest = " " * len(first)
        yield from textwrap.wrap(value, WIDTH, initial_indent=first, subsequent_indent=rest)


def _bullets(values: Sequence[str]) -> Iterator[str]:
    for value in values:
        yield from textwrap.wrap(value, WIDTH, initial_indent=f"{INDENT}- ", subsequent_indent=INDENT * 2)


def _study(words: Wording, data_set: Dataset) -> Iterator[str]:
    patient = [
        _attribute(data_set, "PatientName"),
        f"ID {_attribute(data_set, 'PatientID') or '-'}",
        _attribute(data_set, "IssuerOfPatientID"),
        f"{words('heading.born')} {_date(born)}"
        if (born := _attribute(data_set, "PatientBirthDate"))
        else "",
        _attribute(data_set, "PatientSex"),
    ]
    yield from _line(words("heading.patient"), ", ".join(part for part in patient if part))
    when = f"{_date(_attribute(data_set, 'StudyDate'))} {_time(_attribute(data_set, 'StudyTime'))}".strip()
    study = [_attribute(data_set, "StudyDescription"), when]
    yield from _line(words("heading.study"), ", ".join(part for part in study if part))
    yield from _line(words("heading.accession"), _attribute(data_set, "AccessionNumber"))
    yield from _line("StudyInstanceUID", _attribute(data_set, "StudyInstanceUID"))
    made = (
        f"{_date(_attribute(data_set, 'ContentDate'))} {_time(_attribute(data_set, 'ContentTime'))} "
        f"{_attribute(data_set, 'TimezoneOffsetFromUTC')}"
    )
    flags = [_attribute(data_set, keyword) for keyword in ("CompletionFlag", "VerificationFlag")]
    flags.append(_attribute(data_set, "CompletionFlagDescription"))
    version = f"{words('heading.version')} {_attribute(data_set, 'InstanceNumber')}"
    yield from _line(words("heading.report"), ", ".join([version, made.strip(), *filter(None, flags)]))
    yield from _line("SOPInstanceUID", _attribute(data_set, "SOPInstanceUID"))
    for study_item in data_set.get("PredecessorDocumentsSequence") or ():
        for series in study_item.ReferencedSeriesSequence:
            for instance in series.ReferencedSOPSequence:
                yield from _line(words("heading.replaces"), str(instance.ReferencedSOPInstanceUID))


def _outcome(words: Wording, study: Node) -> Iterator[str]:
    yield from _line(words("heading.assessment"), study.first(codes.OVERALL_ASSESSMENT).text)
    yield from _line(words("heading.finding"), study.first(codes.FINDING).text)
    yield from _line(words("heading.run"), study.first(codes.RUN).text)
    yield from _line(words("heading.reason"), study.first(codes.REASON).text)
    yield from _line(words("heading.verdict"), study.first(codes.VERDICT).text)
    yield from _line("", study.first(codes.VERDICT_REASON).text)


def _modality(study: Node) -> InputModality:
    """Return the kind of images that the study's numbers count; CT where there are none."""
    counted = (modality for modality, concepts in codes.COUNTED.items() if study.all(concepts.received))
    return next(counted, InputModality.CT)


def _numbers(words: Wording, study: Node, counted: codes.Counted) -> Iterator[str]:
    concepts = (
        counted.received,
        counted.selected,
        counted.positive,
        counted.ratio,
        counted.share_threshold,
        counted.threshold,
        counted.mean_score,
        counted.highest_score,
    )
    width = max(len(words.meanings[concept.value]) for concept in concepts)
    for concept in concepts:
        value = study.first(concept).text
        if value:
            yield f"{INDENT}{words.meanings[concept.value]:<{width}}  {value:>10}"
    yield from _line(words("heading.selection"), study.first(codes.SELECTION_RULE).text)
    yield from _line(words("heading.point"), study.first(codes.OPERATING_POINT).text)
    yield from _line(words("heading.validated"), study.first(codes.POINT_VALIDATED).text)
    yield from _line(words("heading.score"), study.first(codes.MEANING_OF_SCORE).text)


def _images(words: Wording, study: Node, images: Sequence[Node], modality: InputModality) -> Iterator[str]:
    counted, label_of_all = codes.COUNTED[modality], of_kind(words, modality, "label")
    if not images:
        if study.all(counted.highest_score):
            yield f"{INDENT}{of_kind(words, modality, 'none-positive')}"
        return
    labels = [item.first(codes.TRACKING_IDENTIFIER).text for item in images]
    width = max(len(label) for label in (*labels, label_of_all))
    score, heatmap = words("heading.image-score"), words("heading.heatmap")
    yield f"{INDENT}{label_of_all:<{width}}  {score:>8}  {heatmap:<7}  SOPInstanceUID"
    for label, item in zip(labels, images, strict=True):
        score = item.first(codes.CERTAINTY_OF_FINDING).text
        heatmap = words.meanings[(codes.YES if item.all(counted.heatmap) else codes.NO).value]
        source = item.first(codes.SOURCE_OF_MEASUREMENT).instance
        yield f"{INDENT}{label:<{width}}  {_percent(score):>8}  {heatmap:<7}  {source}"


def _series(found: Sequence[Node]) -> Iterator[str]:
    for item in found:
        chosen = item.first(codes.SERIES_CHOICE)
        mark = "*" if chosen.code == codes.SCREENED.value else " "
        yield f"{mark} {item.first(codes.SERIES_NAME).text}"
        lines = (
            f"{chosen.text}: {item.first(codes.REASON).text}",
            f"{item.first(codes.VERDICT).text} ({item.first(codes.VERDICT_REASON).text})",
            item.first(codes.SERIES_INSTANCE_UID).text,
        )
        for line in lines:
            yield from textwrap.wrap(line, WIDTH, initial_indent=INDENT * 3, subsequent_indent=INDENT * 4)


def _model(words: Wording, root: Node, study: Node) -> Iterator[str]:
    yield from _line(words("heading.name"), study.first(codes.ALGORITHM_NAME).text)
    yield from _line(words("heading.algorithm-version"), study.first(codes.ALGORITHM_VERSION).text)
    yield from _line(words("heading.status"), study.first(codes.MODEL_STATUS).text)
    parameters = study.first(codes.ALGORITHM_PARAMETERS).text
    for part in filter(None, parameters.split("; ")):
        label, _, value = part.partition(" ")
        yield from _line(label.capitalize(), value)
    yield from _line("DeviceUID", root.first(codes.DEVICE_OBSERVER_UID).text)
    yield from _line(words("heading.observer"), root.first(codes.DEVICE_OBSERVER_NAME).text)


def _attribute(data_set: Dataset, keyword: str) -> str:
    value = data_set.get(keyword)
    return "" if value is None else one_line(str(value))


def _date(value: str) -> str:
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if len(value) == len("YYYYMMDD") else value


def _time(value: str) -> str:
    return f"{value[:2]}:{value[2:4]}:{value[4:6]}" if len(value) >= len("HHMMSS") else value


def _percent(value: str) -> str:
    try:
        return f"{float(value):.1f} %"
    except ValueError:
        return value or "-"
