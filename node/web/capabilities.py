"""What the service can do, told to a client (PS3.18 section 8.9)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final
from xml.etree import ElementTree as Xml

from starlette.requests import Request
from starlette.responses import Response

from node.web.errors import NotAcceptable
from node.web.negotiation import accepted, quality_of
from node.web.resources import Resource, ServiceUrl, allowed

WADL: Final = "application/vnd.sun.wadl+xml"
NAMESPACE: Final = "http://wadl.dev.java.net/2009/02"
JSON: Final = "application/json"
_PARAMETER = re.compile(r"\{([a-z]+)(?::[a-z]+)?\}")


class Capabilities:
    """Answers OPTIONS at the base of the service and at everything that it serves.

    Parameters
    ----------
    resources : iterable of Resource
        What is served.
    url : ServiceUrl
    """

    def __init__(self, resources: Iterable[Resource], *, url: ServiceUrl) -> None:
        methods: dict[str, set[str]] = {}
        for item in resources:
            methods.setdefault(item.path, set()).add(item.method)
        self._methods: Mapping[str, list[str]] = {path: sorted(names) for path, names in methods.items()}
        self._url = url

    def resources(self) -> tuple[Resource, ...]:
        """Return what is served."""
        return tuple(
            Resource(path=path, method="OPTIONS", right=None, answer=partial(self._answer, path))
            for path in ("", *self._methods)
        )

    def _answer(self, path: str, request: Request) -> Response:
        ranges = accepted(request)
        liked = max((WADL, JSON), key=lambda item: quality_of(ranges, item))
        if quality_of(ranges, liked) <= 0:
            raise NotAcceptable(f"capabilities are told as {WADL} or {JSON}")
        base = self._url.of(request)
        body = self._wadl(base) if liked == WADL else self._json(base)
        allow = allowed([*self._methods.get(path, ()), "OPTIONS"])
        return Response(body, media_type=liked, headers={"Allow": allow, "Vary": "Accept"})

    def _json(self, base: str) -> bytes:
        served = [{"path": _PARAMETER.sub(r"{\1}", path), "methods": names} for path, names in self._each()]
        return json.dumps({"base": base, "resources": served}, indent=1).encode("ascii")

    def _wadl(self, base: str) -> bytes:
        root = Xml.Element("application", xmlns=NAMESPACE)
        resources = Xml.SubElement(root, "resources", base=base)
        for path, names in self._each():
            plain = _PARAMETER.sub(r"{\1}", path).removeprefix("/")
            resource = Xml.SubElement(resources, "resource", path=plain)
            for parameter in _PARAMETER.findall(path):
                Xml.SubElement(resource, "param", name=parameter, style="template", type="xs:string")
            for name in names:
                Xml.SubElement(resource, "method", name=name)
        return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True))

    def _each(self) -> list[tuple[str, list[str]]]:
        return sorted(self._methods.items())
