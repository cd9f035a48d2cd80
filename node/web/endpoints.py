"""Everything that is served at one path: who may ask, and what answers each method (RFC 9110 section 9)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from inspect import iscoroutinefunction
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from node.web.access import Access
from node.web.errors import MethodNotAllowed
from node.web.resources import Resource, ServiceUrl, allowed


class Endpoint:
    """Answers requests at one path. An ASGI application.

    Parameters
    ----------
    resources : iterable of Resource
        Of the same path, each of another method.
    access : Access
        Asked before each request.
    url : ServiceUrl
        What this node is called.
    """

    def __init__(self, resources: Iterable[Resource], *, access: Access, url: ServiceUrl) -> None:
        self._resources = {str(item.method): item for item in resources}
        self._access = access
        self._url = url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive, send)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        resource = self._resources.get(method)
        right = resource.right if resource is not None else None
        request.state.ae_title = self._access.check(request, right)
        self._url.check(request)
        if resource is None:
            raise MethodNotAllowed(allowed(self._resources))
        if iscoroutinefunction(resource.answer):
            return await cast("Callable[[Request], Awaitable[Response]]", resource.answer)(request)
        work = cast("Callable[[Request], Response]", resource.answer)
        if resource.threads is not None:
            return await resource.threads.run(work, request)
        return await asyncio.get_running_loop().run_in_executor(None, work, request)
