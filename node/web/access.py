"""Who may call the service: addresses as listed, a bearer token (RFC 6750), and what both may do."""

from __future__ import annotations

import hmac
import ipaddress
import logging
from collections.abc import Callable, Iterable
from functools import lru_cache

from starlette.requests import Request

from node.domain.network import Right
from node.web.errors import Forbidden, Unauthorized

logger = logging.getLogger(__name__)

BEARER = "bearer "


class Access:
    """Decides on requests.

    Parameters
    ----------
    addresses : iterable of str
        IP addresses or networks from which requests may come.
    rights : frozenset of Right
        What they may do.
    token : callable, optional
        Returns the token at each request; None where none is needed.
    """

    def __init__(
        self, addresses: Iterable[str], rights: frozenset[Right], token: Callable[[], bytes] | None
    ) -> None:
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in addresses)
        self._rights = rights
        self._token = token
        self._is_listed = lru_cache(maxsize=256)(self._in_networks)

    def check(self, request: Request, right: Right | None) -> None:
        """Let a request pass.

        Raises
        ------
        Unauthorized, Forbidden
        """
        address = request.client.host if request.client is not None else ""
        if not self._is_listed(address):
            logger.warning("a request from %s was refused: the address is not listed", address)
            raise Forbidden("requests from this address are not served")
        if self._token is not None and not self._is_known(request):
            logger.warning("a request from %s was refused: its token is absent or wrong", address)
            raise Unauthorized("a token is needed; send it as `Authorization: Bearer TOKEN`")
        if right is not None and right not in self._rights:
            raise Forbidden(f"the right {right.value!r} is not given in [web]")

    def _in_networks(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text.split("%", 1)[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # as a socket for both families reports it
        return any(address in network for network in self._networks)

    def _is_known(self, request: Request) -> bool:
        if self._token is None:
            return True
        value = request.headers.get("authorization", "")
        scheme, token = value[: len(BEARER)], value[len(BEARER) :].strip()
        given = token.encode("latin-1", "replace")
        return hmac.compare_digest(given, self._token()) and scheme.lower() == BEARER
