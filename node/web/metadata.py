"""Metadata of a study, a series or an instance as DICOM JSON (PS3.18 section 10.4, WADO-RS)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from http import HTTPStatus
from itertools import chain

from starlette.requests import Request
from starlette.responses import Response

from node.dicom.json_model import BULK_BASE
from node.domain.network import Right
from node.store.metadata import MetadataRecords, together
from node.store.stored_instances import Scope, StoredInstances
from node.web.errors import NotFound
from node.web.json_answers import VARY, array, json_answer, json_type
from node.web.negotiation import fresh
from node.web.resources import Resource, ServiceUrl, scope_of

PATHS = (
    "/studies/{study}/metadata",
    "/studies/{study}/series/{series}/metadata",
    "/studies/{study}/series/{series}/instances/{instance}/metadata",
)


class MetadataService:
    """Serves metadata.

    Parameters
    ----------
    stored : StoredInstances
    records : MetadataRecords
    url : ServiceUrl
    """

    def __init__(self, stored: StoredInstances, records: MetadataRecords, *, url: ServiceUrl) -> None:
        self._stored = stored
        self._records = records
        self._url = url

    def resources(self) -> tuple[Resource, ...]:
        """Return what is served."""
        return tuple(
            Resource(path=path, method="GET", right=Right.RETRIEVE, answer=self._answer) for path in PATHS
        )

    def _answer(self, request: Request) -> Response:
        scope = scope_of(request)
        media_type = json_type(request)
        digest = self._stored.digest(scope)
        if not digest:
            raise NotFound("there is no such study, series or instance here")
        base = self._url.of(request)
        name = hashlib.sha256(f"{digest} {base}".encode()).hexdigest()
        headers = {"ETag": f'W/"{name}"', "Cache-Control": "private, no-cache", "Vary": VARY}
        if fresh(request, headers["ETag"]):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return json_answer(request, media_type, array(self._pages(scope, base)), headers)

    def _pages(self, scope: Scope, base: str) -> Iterator[list[bytes]]:
        for some in chain.from_iterable(map(together, self._stored.pages(scope))):
            documents = self._records.of(some)
            yield [
                document.replace(
                    BULK_BASE,
                    f"{base}/studies/{item.study_instance_uid}/series/{item.series_instance_uid}"
                    f"/instances/{item.sop_instance_uid}".encode("ascii"),
                )
                for item, document in zip(some, documents, strict=True)
            ]
