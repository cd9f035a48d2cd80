"""What the modules of the service serve, and what they have in common."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from node.domain.identity import is_valid_uid
from node.domain.network import Right
from node.store.stored_instances import Scope
from node.web.errors import BadRequest, Misdirected
from node.web.threads import Threads

Answer: TypeAlias = Callable[[Request], Response] | Callable[[Request], Awaitable[Response]]
LEVELS = ("study", "series", "instance")
"""Parameters of paths."""
HOST = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
"""A host with its port (RFC 3986 section 3.2.2)."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One kind of paths, and what answers them."""

    path: str
    """Below the base of the service, with parameters in braces: ``/studies/{study}``."""
    method: Literal["GET", "POST", "OPTIONS"]
    right: Right | None
    """What a caller must be allowed to do; None where whoever is let in may ask."""
    answer: Answer
    """Called in a thread of its own; a coroutine function is called on the loop of the server."""
    threads: Threads | None = None
    """For what takes long; None for those of the server. A coroutine function takes them itself."""


def allowed(methods: Iterable[str]) -> str:
    """Return the header Allow of a path (RFC 9110 section 10.2.1).

    Parameters
    ----------
    methods : iterable of str
        What is served there; HEAD comes with GET.
    """
    names = set(methods)
    return ", ".join(sorted(names | {"HEAD"} if "GET" in names else names))


def uid_of(request: Request, name: str) -> str:
    """Return a UID of the path.

    Raises
    ------
    BadRequest
        It is none (PS3.5 section 9.1).
    """
    uid = str(request.path_params[name])
    if not is_valid_uid(uid):
        raise BadRequest(f"the {name} of the path is no UID (PS3.5 section 9.1)")
    return uid


def scope_of(request: Request) -> Scope:
    """Return the study, series or instance that the path names.

    Raises
    ------
    BadRequest
    """
    uids = {name: uid_of(request, name) if name in request.path_params else "" for name in LEVELS}
    return Scope(
        study_instance_uid=uids["study"],
        series_instance_uid=uids["series"],
        sop_instance_uid=uids["instance"],
    )


class ServiceUrl:
    """The base of the service, as a client reaches it.

    Parameters
    ----------
    path : str
        Path of the service, without a slash at its end.
    public : str
        Its address where a proxy stands before it; empty for what the client names.
    any_name : bool
        Whether a client may call this host by a name of its own. Where nobody needs a token it may not: a
        name that is made to point here would let a page of anybody read what is here (DNS rebinding).
    """

    def __init__(self, *, path: str, public: str, any_name: bool) -> None:
        self._path = path
        self._public = public
        self._any_name = any_name

    def of(self, request: Request) -> str:
        """Return the base, for the URLs of an answer.

        Raises
        ------
        BadRequest, Misdirected
            The request names no host, or one that this node does not go by.
        """
        if self._public:
            return self._public
        host = self.check(request)
        return f"{request.scope['scheme']}://{host}{self._path}"

    def check(self, request: Request) -> str:
        """Return the host that a request names.

        Raises
        ------
        BadRequest, Misdirected
        """
        host = request.headers.get("host", "")
        found = HOST.fullmatch(host)
        if found is None:
            raise BadRequest("the header Host is absent or malformed")
        name = found["name"].strip("[]").lower()
        if not (
            self._any_name or name in {"localhost", urlsplit(self._public).hostname} or _is_address(name)
        ):
            raise Misdirected("this node does not go by that name; set public_url in [web]")
        return host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
