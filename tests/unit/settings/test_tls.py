"""The settings of TLS: what belongs together, and what a table without its own files gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.domain.errors import SettingsError
from node.domain.network import TlsCall, TlsListen
from node.settings.loading import load

OWN = """
[tls]
port = 2762
certificate = "own.pem"
key = "own.key"
ca_file = "ca.pem"
"""
PACS = """
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "pacs.example"
port = 2762
tls = true
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "groundglass.toml"
    path.write_text(text)
    return path


def test_who_is_called_over_tls_gets_what_tls_says(tmp_path: Path) -> None:
    other = '[[archives]]\nname = "old"\nae_title = "OLD"\nhost = "old"\nport = 104\n'
    named = PACS.replace("pacs", "vna") + 'ca_file = "vna-ca.pem"\ncheck_host_name = false\n'
    moved = '[[move_destinations]]\nae_title = "WS"\nhost = "ws"\nport = 2762\ntls = true\n'
    settings = load(written(tmp_path, OWN + PACS + named + other + moved), {})

    own = {"client_certificate": tmp_path / "own.pem", "client_key": tmp_path / "own.key"}
    pacs, vna = settings.destination_records()
    assert pacs.tls == TlsCall(ca_file=tmp_path / "ca.pem", **own)
    assert vna.tls == TlsCall(ca_file=tmp_path / "vna-ca.pem", check_host_name=False, **own)
    assert settings.archive_records()[0].tls is None
    assert settings.move_destination_records()[0].tls == pacs.tls
    assert settings.tls.listen() == TlsListen(
        port=2762,
        certificate=tmp_path / "own.pem",
        key=tmp_path / "own.key",
        ca_file=tmp_path / "ca.pem",
        require_client_certificate=True,
    )
    assert load(None, {}).tls.listen() is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[tls]\nport = 2762\n", "tls: a port for TLS needs certificate and key"),
        (OWN.replace('ca_file = "ca.pem"', ""), "tls: name in ca_file the authorities"),
        (OWN.replace('key = "own.key"', ""), "tls: certificate and key belong together"),
        ("[tls]\nplain = false\n", "tls: nothing would be listened on"),
        (
            PACS.replace("tls = true", 'ca_file = "x.pem"'),
            "destinations[0]: ca_file and client_certificate are",
        ),
        (
            '[[peers]]\nae_title = "A"\naddresses = ["10.0.0.1"]\ncertificates = ["sha256:00"]\n',
            "peers[0].certificates[0]: 'sha256:00' names no certificate",
        ),
        (
            '[[peers]]\nae_title = "A"\naddresses = ["10.0.0.1"]\ncertificates = []\n',
            "peers[0].certificates: names no certificate",
        ),
        (PACS + "check_host_name = false\n", "destinations[0]: check_host_name = false takes any"),
    ],
)
def test_errors_name_the_key(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, text), {})
    assert str(caught.value).startswith(line)


def test_a_peer_with_a_certificate_may_not_call_without_tls(tmp_path: Path) -> None:
    digest = ":".join(["AB"] * 32)
    table = '[[peers]]\nae_title = "A"\naddresses = ["10.0.0.1"]\n'
    names = f'certificates = ["sha256:{digest}", "dns:CT.x"]\n'
    (peer,) = load(written(tmp_path, table + names), {}).peer_records()
    assert peer.tls
    assert peer.certificates == {f"sha256:{'ab' * 32}", "dns:ct.x"}
