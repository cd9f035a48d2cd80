"""Who may open an association: calling AE title, peer address and called AE title must be as listed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from node.domain.errors import SettingsError
from node.domain.network import Peer, Right

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
WITHOUT_TLS = "peer may call over TLS alone"
ANOTHER_CERTIFICATE = "certificate is not the one of this peer"
BY_TLS = frozenset({WITHOUT_TLS, ANOTHER_CERTIFICATE})
"""Reasons of a refusal that another address or AE title in the settings would not change."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks for an association."""

    calling_ae_title: str
    called_ae_title: str
    address: str
    """Peer's IP address."""


class Rejection(Enum):
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    CALLING_AE_TITLE = (1, 1, 3)
    """Rejected permanently by the service user: calling AE title not recognised."""
    CALLED_AE_TITLE = (1, 1, 7)
    """Rejected permanently by the service user: called AE title not recognised."""
    CONGESTION = (2, 3, 1)
    """Rejected for now by the presentation service: temporary congestion."""
    LIMIT = (2, 3, 2)
    """Rejected for now by the presentation service: local limit exceeded."""


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """The caller may come in."""

    rights: frozenset[Right]


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The caller may not come in."""

    rejection: Rejection
    reason: str
    """For the operator."""


class Gate(Protocol):
    """Decides on callers."""

    def decide(self, caller: Caller, names: frozenset[str] | None = None) -> Admitted | Refused:
        """Return whether the caller may open an association, and with which rights.

        Parameters
        ----------
        caller : Caller
        names : frozenset of str, optional
            By what its certificate is known (`node.dimse.tls.names_of`); None: it calls without TLS.
        """
        ...


class Admission:
    """The gate of the settings: nobody comes in who is not listed.

    Parameters
    ----------
    ae_title : str
        This node's AE title; associations that call another one are refused.
    peers : iterable of Peer
        Who is listed. Several entries may share an AE title; their rights at one address add up.

    Raises
    ------
    SettingsError
        When an address is neither an IP address nor a network.
    """

    def __init__(self, ae_title: str, peers: Iterable[Peer]) -> None:
        self._ae_title = ae_title
        entries: dict[str, list[tuple[tuple[Network, ...], Peer]]] = {}
        for peer in peers:
            networks = tuple(_network(peer.ae_title, text) for text in peer.addresses)
            entries.setdefault(peer.ae_title, []).append((networks, peer))
        self._entries: Mapping[str, list[tuple[tuple[Network, ...], Peer]]] = entries

    def decide(self, caller: Caller, names: frozenset[str] | None = None) -> Admitted | Refused:
        """Return whether the caller may open an association, and with which rights.

        Parameters
        ----------
        caller : Caller
            AE titles without padding; ``address`` as the transport reports it.
        names : frozenset of str, optional
            By what its certificate is known; None: it calls without TLS.
        """
        entries = self._entries.get(caller.calling_ae_title)
        if entries is None:
            return Refused(
                rejection=Rejection.CALLING_AE_TITLE, reason="calling AE title is not a listed peer"
            )
        address = _address(caller.address)
        here = [peer for networks, peer in entries if any(address in network for network in networks)]
        if not here:
            return Refused(
                rejection=Rejection.CALLING_AE_TITLE, reason="peer is not listed with this address"
            )
        proven = [peer for peer in here if _is_proven(peer, names)]
        if not proven:
            return Refused(
                rejection=Rejection.CALLING_AE_TITLE,
                reason=WITHOUT_TLS if names is None else ANOTHER_CERTIFICATE,
            )
        if caller.called_ae_title != self._ae_title:
            return Refused(
                rejection=Rejection.CALLED_AE_TITLE, reason="called AE title is not the one of this node"
            )
        return Admitted(rights=frozenset().union(*(peer.rights for peer in proven)))


class OpenGate:
    """The gate of a test or demonstration PACS: every caller may store and echo."""

    def decide(self, caller: Caller, names: frozenset[str] | None = None) -> Admitted | Refused:  # noqa: ARG002 - the port's signature
        """Return full rights."""
        return Admitted(rights=frozenset(Right))


def _is_proven(peer: Peer, names: frozenset[str] | None) -> bool:
    """Whether a caller over TLS, or not, may be this peer."""
    if names is None:
        return not (peer.tls or peer.certificates)
    return not peer.certificates or not peer.certificates.isdisjoint(names)


def _address(text: str) -> Address:
    """Return the address; of an IPv4-mapped IPv6 one, as a dual-stack socket reports it, the IPv4 address."""
    address = ipaddress.ip_address(text.split("%", 1)[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _network(ae_title: str, text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise SettingsError(
            f"peers: {text!r} of {ae_title!r} is neither an IP address nor a network; write for example "
            '"10.1.2.3" or "10.1.2.0/24"'
        ) from None
