"""The query of a search: parameters of a URL in, what is asked for out (PS3.18 section 8.3.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydicom.datadict import tag_for_keyword
from starlette.requests import Request

from node.decide.matching import Criterion, criterion_of
from node.decide.queries import Key, Query
from node.domain.errors import QueryMalformed
from node.domain.query import UNIQUE_KEYS, Level, QueryAttribute, answered_at
from node.web.errors import BadRequest
from node.web.resources import uid_of

NOT_KEYS: Final = frozenset({"accept", "charset", "fuzzymatching", "includefield", "limit", "offset"})
"""Parameters that are no attributes, in lower case."""
MOST_PARAMETERS: Final = 256
LARGEST_NUMBER: Final = 1 << 31
LEVEL_OF_PARAMETER: Final = {"study": Level.STUDY, "series": Level.SERIES}
RETURNED: Final[Mapping[Level, frozenset[str]]] = {
    Level.STUDY: frozenset(
        {
            *("StudyDate", "StudyTime", "AccessionNumber", "ModalitiesInStudy", "ReferringPhysicianName"),
            *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID"),
            *("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "StudyDescription"),
            "IssuerOfPatientID",
        }
    ),
    Level.SERIES: frozenset(
        {
            *("Modality", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber", "StudyInstanceUID"),
            *("NumberOfSeriesRelatedInstances", "PerformedProcedureStepStartDate", "BodyPartExamined"),
            *("PerformedProcedureStepStartTime", "RequestAttributesSequence"),
        }
    ),
    Level.IMAGE: frozenset(
        {
            *("SOPClassUID", "SOPInstanceUID", "InstanceNumber", "Rows", "Columns", "BitsAllocated"),
            *("NumberOfFrames", "SeriesInstanceUID", "StudyInstanceUID", "AvailableTransferSyntaxUID"),
        }
    ),
}
"""What is returned unasked at each level (PS3.18 tables 10.6.3-3 to 10.6.3-5), and what viewers list."""
ALWAYS: Final = frozenset({0x00080005, 0x00080054, 0x00080056, 0x00080201, 0x00081190})
"""Tags that are answered anyway: SpecificCharacterSet, RetrieveAETitle, InstanceAvailability, RetrieveURL,
and TimezoneOffsetFromUTC where it is known."""
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_KEYWORD = re.compile(r"[A-Z][A-Za-z0-9]{1,63}")
_NUMBER = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, kw_only=True)
class WebQuery(Query):
    """What a search asks for."""

    limit: int | None
    """Most answers; None for all."""
    offset: int
    """Answers that are left out at the beginning."""
    warnings: tuple[str, ...]
    """What was asked for and is not done."""


@dataclass(frozen=True)
class _Attributes:
    """Attributes by what names them."""

    by_tag: Mapping[int, QueryAttribute]

    def find(self, name: str) -> QueryAttribute | None:
        """Return the attribute of a keyword or tag, None for one that is not answered.

        Raises
        ------
        BadRequest
            It is no name of an attribute.
        """
        return self.by_tag.get(_tag(name))


def _tag(name: str) -> int:
    """Return the tag of a keyword or tag.

    Raises
    ------
    BadRequest
        It is no name of an attribute.
    """
    if _TAG.fullmatch(name):
        return int(name, 16)
    tag = tag_for_keyword(name) if _KEYWORD.fullmatch(name) else None
    if tag is None:
        raise BadRequest("a parameter is no attribute: write a keyword or a tag of eight digits")
    return tag


def read_search(request: Request, level: Level) -> WebQuery:
    """Read a search.

    Parameters
    ----------
    request : Request
        Its path may name a study or a series.
    level : Level
        Of what is searched.

    Raises
    ------
    BadRequest, QueryMalformed
    """
    parameters = request.query_params.multi_items()
    if len(parameters) > MOST_PARAMETERS:
        raise BadRequest("too many parameters")
    known = _Attributes({attribute.tag: attribute for attribute in answered_at(level)})
    texts, ignored = _keys(parameters, known)
    above = {
        UNIQUE_KEYS[item]: uid_of(request, name)
        for name, item in LEVEL_OF_PARAMETER.items()
        if name in request.path_params
    }
    for keyword, uid in above.items():
        if texts.get(keyword, {"": uid}) != {"": uid}:
            raise BadRequest(f"{keyword} is another one in the path than among the parameters")
        texts[keyword] = {"": uid}
    included, everything, unknown = _included(parameters, known)
    names = {*texts, *included, *_returned(level, above)}
    keys = tuple(
        _key(attribute, texts.get(attribute.keyword, {}))
        for _, attribute in sorted(known.by_tag.items())
        if everything or attribute.keyword in names
    )
    fuzzy = any(name == "fuzzymatching" and value.lower() == "true" for name, value in parameters)
    return WebQuery(
        level=level,
        keys=keys,
        narrowing=_narrowing(keys),
        limit=_number(parameters, "limit"),
        offset=_number(parameters, "offset") or 0,
        warnings=tuple(_warnings(fuzzy=fuzzy, ignored=ignored, unknown=unknown)),
    )


def _keys(
    parameters: Iterable[tuple[str, str]], known: _Attributes
) -> tuple[dict[str, dict[str, str]], bool]:
    """Return the texts of keys by keyword, then by the keyword within a sequence; and if any was left out."""
    texts: dict[str, dict[str, str]] = {}
    ignored = False
    for name, value in parameters:
        if name.lower() in NOT_KEYS:
            continue
        outer, _, inner = name.partition(".")
        attribute = known.find(outer)
        within = ""
        if attribute is not None and inner:
            items = _Attributes({item.tag: item for item in attribute.items})
            item = items.find(inner)
            attribute, within = (attribute, item.keyword) if item is not None else (None, "")
        if attribute is None or not attribute.matched or (attribute.items and not within):
            ignored = ignored or bool(value)
            continue
        if texts.setdefault(attribute.keyword, {}).setdefault(within, value) != value:
            raise BadRequest(f"{attribute.keyword} stands twice among the parameters")
    return texts, ignored


def _key(attribute: QueryAttribute, texts: Mapping[str, str]) -> Key:
    items = tuple(
        Key(attribute=item, criterion=_criterion(item, texts.get(item.keyword, "")))
        for item in attribute.items
    )
    return Key(attribute=attribute, criterion=_criterion(attribute, texts.get("", "")), items=items)


def _criterion(attribute: QueryAttribute, text: str) -> Criterion | None:
    if not attribute.matched or attribute.items or not text:
        return None
    # A list of UIDs is separated by commas in a URL (PS3.18 section 8.3.4.1), by backslashes elsewhere.
    value = text.replace(",", "\\") if attribute.vr == "UI" else text
    try:
        return criterion_of(attribute.vr, value)
    except QueryMalformed as error:
        raise QueryMalformed(f"{attribute.keyword}: {error}") from None


def _narrowing(keys: Iterable[Key]) -> dict[str, Criterion]:
    return {key.attribute.keyword: key.criterion for key in keys if key.criterion is not None}


def _returned(level: Level, above: Mapping[str, str]) -> frozenset[str]:
    """Return what is answered unasked: of the levels above only where the path does not name them."""
    found = RETURNED[level]
    if UNIQUE_KEYS[Level.STUDY] not in above:
        found |= RETURNED[Level.STUDY]
    if level is Level.IMAGE and UNIQUE_KEYS[Level.SERIES] not in above:
        found |= RETURNED[Level.SERIES]
    return found


def _included(parameters: Iterable[tuple[str, str]], known: _Attributes) -> tuple[frozenset[str], bool, bool]:
    """Return the attributes of ``includefield``; if all are meant; and if any is not answered."""
    names = [name for key, value in parameters if key == "includefield" for name in value.split(",") if name]
    # A path names what is within a sequence (PS3.18 section 8.3.4.3), which is answered as a whole.
    paths = [list(map(_tag, name.split("."))) for name in names if name != "all"]
    tags = {path[0] for path in paths}
    found = frozenset(known.by_tag[tag].keyword for tag in tags & known.by_tag.keys())
    return found, "all" in names, not tags <= known.by_tag.keys() | ALWAYS


def _number(parameters: Iterable[tuple[str, str]], name: str) -> int | None:
    values = [value for key, value in parameters if key == name]
    if not values:
        return None
    if len(values) > 1 or _NUMBER.fullmatch(values[0]) is None or int(values[0]) >= LARGEST_NUMBER:
        raise BadRequest(f"{name} is no number, or stands twice")
    return int(values[0])


def _warnings(*, fuzzy: bool, ignored: bool, unknown: bool) -> Iterable[str]:
    if fuzzy:
        yield "The fuzzymatching parameter is not supported. Only literal matching has been performed."
    if ignored:
        yield "Some parameters name attributes that are not matched here; they were ignored."
    if unknown:
        yield "Some attributes of includefield are not answered here."
