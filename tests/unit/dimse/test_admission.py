"""Who may open an association."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dimse.admission import Admission, Admitted, Caller, OpenGate, Refused, Rejection
from node.domain.errors import SettingsError
from node.domain.network import Peer, Right

STORE, ECHO = frozenset({Right.STORE}), frozenset({Right.ECHO})


def peer(ae_title: str, *addresses: str, rights: frozenset[Right] = STORE) -> Peer:
    return Peer(ae_title=ae_title, addresses=addresses, rights=rights)


def call(calling: str, address: str, called: str = "NODE") -> Caller:
    return Caller(calling_ae_title=calling, called_ae_title=called, address=address)


PEERS = [
    peer("CT1", "10.1.2.3", "10.9.0.0/16"),
    peer("CT1", "10.9.0.7", rights=ECHO),
    peer("V6", "2001:db8::/32"),
    peer("NOWHERE"),
]


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (call("CT1", "10.1.2.3"), Admitted(rights=STORE)),
        (call("CT1", "10.9.200.1"), Admitted(rights=STORE)),
        (call("CT1", "10.9.0.7"), Admitted(rights=STORE | ECHO)),
        (call("CT1", "::ffff:10.1.2.3"), Admitted(rights=STORE)),
        (call("V6", "2001:db8::1%eth0"), Admitted(rights=STORE)),
        (call("CT1", "10.1.2.4"), Rejection.CALLING_AE_TITLE),
        (call("ct1", "10.1.2.3"), Rejection.CALLING_AE_TITLE),
        (call("NOWHERE", "127.0.0.1"), Rejection.CALLING_AE_TITLE),
        (call("V6", "10.1.2.3"), Rejection.CALLING_AE_TITLE),
        (call("", "10.1.2.3"), Rejection.CALLING_AE_TITLE),
        (call("CT1", "10.1.2.3", called="OTHER"), Rejection.CALLED_AE_TITLE),
        (call("STRANGER", "10.1.2.3", called="OTHER"), Rejection.CALLING_AE_TITLE),
    ],
)
def test_title_address_and_called_title_must_agree(caller, expected):
    decision = Admission("NODE", PEERS).decide(caller)

    if isinstance(expected, Rejection):
        assert isinstance(decision, Refused)
        assert decision.rejection is expected
    else:
        assert decision == expected


@given(st.ip_addresses(v=4))
def test_an_address_comes_in_exactly_when_its_network_is_listed(address):
    decision = Admission("NODE", PEERS).decide(call("CT1", str(address)))

    listed = address in ipaddress.ip_network("10.9.0.0/16") or str(address) == "10.1.2.3"
    assert isinstance(decision, Admitted) == listed


def test_nobody_comes_in_when_nobody_is_listed():
    assert isinstance(Admission("NODE", []).decide(call("CT1", "127.0.0.1")), Refused)


def test_an_address_that_is_none_is_named():
    with pytest.raises(SettingsError, match=r"scanner\.local"):
        Admission("NODE", [peer("CT1", "scanner.local")])


def test_the_open_gate_gives_every_right():
    assert OpenGate().decide(call("ANY", "192.0.2.1", called="ANY")) == Admitted(rights=frozenset(Right))
