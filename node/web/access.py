"""Who may call the service: addresses as listed, bearer tokens (RFC 6750), and what each may do."""

from __future__ import annotations

import hmac
import ipaddress
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from starlette.requests import Request

from node.domain.errors import GroundglassError
from node.domain.network import Right
from node.web.errors import Forbidden, Unauthorized

logger = logging.getLogger(__name__)

BEARER = "bearer "
NOBODYS = b"\n"
"""No header holds it."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """Who calls with a token of its own."""

    ae_title: str
    """By which the log and the records of what was stored know it; empty for whoever has the common token."""
    rights: frozenset[Right]
    """What it may do."""
    token: Callable[[], bytes]
    """Returns its token; called at each request."""


class Access:
    """Decides on requests.

    Parameters
    ----------
    addresses : iterable of str
        IP addresses or networks from which requests may come.
    rights : frozenset of Right
        What they may do without a token of their own.
    token : callable, optional
        Returns the common token at each request. Without it and ``clients`` none is needed.
    clients : iterable of Client
        Who has a token of its own.
    """

    def __init__(
        self,
        addresses: Iterable[str],
        rights: frozenset[Right],
        token: Callable[[], bytes] | None,
        clients: Iterable[Client] = (),
    ) -> None:
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in addresses)
        self._rights = rights
        common = () if token is None else (Client(ae_title="", rights=rights, token=token),)
        self._clients = (*clients, *common)
        self._is_listed = lru_cache(maxsize=256)(self._in_networks)

    def check(self, request: Request, right: Right | None) -> str:
        """Let a request pass; return the AE title of its client, empty where that has none of its own.

        Raises
        ------
        Unauthorized, Forbidden
        DestinationUnavailable
            It has none of the clients' tokens, and the common one cannot be read.
        """
        address = request.client.host if request.client is not None else ""
        if not self._is_listed(address):
            logger.warning("a request from %s was refused: the address is not listed", address)
            raise Forbidden("requests from this address are not served")
        rights, ae_title = self._rights, ""
        if self._clients:
            client = self._client(request)
            if client is None:
                logger.warning("a request from %s was refused: its token is absent or wrong", address)
                raise Unauthorized("a token is needed; send it as `Authorization: Bearer TOKEN`")
            rights, ae_title = client.rights, client.ae_title
        if right is not None and right not in rights:
            logger.warning(
                "a request from %s was refused: %s has not the right %r",
                address,
                ae_title or "it",
                right.value,
            )
            raise Forbidden(f"the right {right.value!r} is not given in [web]")
        return ae_title

    def _in_networks(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text.split("%", 1)[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # as a socket for both families reports it
        return any(address in network for network in self._networks)

    def _client(self, request: Request) -> Client | None:
        """Return whose token a request bears."""
        value = request.headers.get("authorization", "")
        scheme, token = value[: len(BEARER)], value[len(BEARER) :].strip()
        given = token.encode("latin-1", "replace")
        known = [item for item in self._clients if hmac.compare_digest(given, _token(item))]
        return known[0] if known and scheme.lower() == BEARER else None


def _token(client: Client) -> bytes:
    """Return a client's token; one that nobody can have where its own was taken away."""
    try:
        return client.token()
    except GroundglassError as error:
        if not client.ae_title:
            raise
        logger.warning("client %s is let in no more: %s", client.ae_title, error)
        return NOBODYS
