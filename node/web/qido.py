"""Searches for studies, series and instances (PS3.18 section 10.6, QIDO-RS)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from node.decide.queries import Entity, Key
from node.dicom.json_model import JsonElement, json_texts, tag_name, written
from node.domain.network import Right
from node.domain.ports import Clock
from node.domain.query import Level
from node.store.searching import TIMEZONE, Search
from node.web.errors import Busy
from node.web.json_answers import array, json_answer, json_type
from node.web.query_text import WebQuery, read_search
from node.web.resources import Resource, ServiceUrl
from node.web.threads import Threads

PATHS = (
    ("/studies", Level.STUDY),
    ("/series", Level.SERIES),
    ("/studies/{study}/series", Level.SERIES),
    ("/instances", Level.IMAGE),
    ("/studies/{study}/instances", Level.IMAGE),
    ("/studies/{study}/series/{series}/instances", Level.IMAGE),
)
AT_ONCE = 12
"""Searches that are worked on at the same time: half of the threads of the server."""
RETRIEVE_URL = 0x00081190
URL_OF_LEVEL = {
    Level.STUDY: "{base}/studies/{StudyInstanceUID}",
    Level.SERIES: "{base}/studies/{StudyInstanceUID}/series/{SeriesInstanceUID}",
    Level.IMAGE: "{base}/studies/{StudyInstanceUID}/series/{SeriesInstanceUID}/instances/{SOPInstanceUID}",
}


class SearchService:
    """Answers searches.

    Parameters
    ----------
    search : Search
    clock : Clock
    seconds : float
        Longest time that is spent on one search, not counting what the client takes to read the answers.
    url : ServiceUrl
    ae_title : str
        This node's, from which what is found is retrieved by DIMSE.
    """

    def __init__(
        self, search: Search, clock: Clock, *, seconds: float, url: ServiceUrl, ae_title: str
    ) -> None:
        self._search = search
        self._clock = clock
        self._seconds = seconds
        self._url = url
        self._ae_title = ae_title
        self._threads = Threads(AT_ONCE, "searching")

    def resources(self) -> tuple[Resource, ...]:
        """Return what is served."""
        return tuple(
            Resource(
                path=path,
                method="GET",
                right=Right.QUERY,
                answer=partial(self._answer, level),
                threads=self._threads,
            )
            for path, level in PATHS
        )

    def _answer(self, level: Level, request: Request) -> Response:
        media_type = json_type(request)
        query = read_search(request, level)
        base = self._url.of(request)
        headers = {"Warning": ", ".join(f'299 {base}: "{text}"' for text in query.warnings)}
        if not query.warnings:
            headers = {}
        headers["Cache-Control"] = "private, no-cache"
        pages = selected(self._in_time(self._search.entities(query)), query)
        first = next(pages, None)
        if first is None:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
        writer = _Writer(query, base=base, ae_title=self._ae_title)
        return json_answer(request, media_type, array(writer.pages(first, pages)), headers)

    def _in_time(self, pages: Iterator[list[Entity]]) -> Iterator[list[Entity]]:
        """Yield pages until the time is up: one that searches all files would keep others waiting."""
        spent = 0.0
        while True:
            began = self._clock.monotonic()
            page = next(pages, None)
            spent += self._clock.monotonic() - began
            if page is None:
                return
            if spent > self._seconds:
                raise Busy("the search takes too long; narrow it")
            yield page


class _Writer:
    """Writes the answers to one search."""

    def __init__(self, query: WebQuery, *, base: str, ae_title: str) -> None:
        self._keys = [(tag_name(key.attribute.tag), key) for key in query.keys]
        self._url = URL_OF_LEVEL[query.level]
        self._base = base
        self._constants: JsonElement = {
            "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
            "00080054": {"vr": "AE", "Value": [ae_title]},
            "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        }

    def pages(self, first: list[Entity], rest: Iterator[list[Entity]]) -> Iterator[list[bytes]]:
        """Yield the answers, a page at a time."""
        yield [self._written(entity) for entity in first]
        for page in rest:
            yield [self._written(entity) for entity in page]

    def _written(self, entity: Entity) -> bytes:
        document = dict(self._constants)
        for name, key in self._keys:
            document[name] = _element(key, entity)
        if zone := entity.several(TIMEZONE):
            document["00080201"] = json_texts("SH", zone)
        url = self._url.format(base=self._base, **entity.texts)
        document[tag_name(RETRIEVE_URL)] = {"vr": "UR", "Value": [url]}
        return written(document)


def _element(key: Key, entity: Entity) -> JsonElement:
    attribute = key.attribute
    if not attribute.items:
        return json_texts(attribute.vr, entity.several(attribute.keyword))
    items: list[Any] = [
        {
            tag_name(inner.attribute.tag): json_texts(inner.attribute.vr, values)
            for inner in key.items
            if (values := Entity(texts=item).several(inner.attribute.keyword))
        }
        for item in entity.sequences.get(attribute.keyword, ())
    ]
    return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}


def selected(pages: Iterator[list[Entity]], query: WebQuery) -> Iterator[list[Entity]]:
    """Yield what lies within offset and limit, without empty pages; no page is read behind the last of it."""
    skip, left = query.offset, query.limit
    while left != 0 and (page := next(pages, None)) is not None:
        kept = page[skip:]
        skip -= len(page) - len(kept)
        if left is not None:
            kept = kept[:left]
            left -= len(kept)
        if kept:
            yield kept
