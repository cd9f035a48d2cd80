"""What `check` warns of in TLS: keys that everybody reads, peers that cannot come in."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.cli.check import is_private, shut_out
from node.domain.network import Peer, TlsListen


@pytest.mark.parametrize(("mode", "warnings"), [(0o640, 0), (0o644, 1)])
def test_a_key_that_everybody_can_read_is_told_of(tmp_path: Path, mode: int, warnings: int) -> None:
    key = tmp_path / "node.key"
    key.touch()
    key.chmod(mode)
    assert [check.verdict for check in is_private(key)] == ["warning"] * warnings
    assert not list(is_private(tmp_path / "nowhere"))


def test_a_peer_that_cannot_come_in_is_told_of(tmp_path: Path) -> None:
    def peer(*names: str, tls: bool = True) -> Peer:
        return Peer(
            ae_title="CT1",
            addresses=("192.0.2.1",),
            rights=frozenset(),
            tls=tls,
            certificates=frozenset(names),
        )

    open_port = TlsListen(
        port=2762, certificate=tmp_path, key=tmp_path, ca_file=None, require_client_certificate=False
    )
    peers = [peer(tls=False), peer(), peer("cn:ct1")]
    assert ["no port" in check.detail for check in shut_out(peers, None)] == [True, True]
    assert ["ca_file" in check.detail for check in shut_out(peers, open_port)] == [True]
