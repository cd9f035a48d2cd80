"""The table `[web]`: nothing is served to anybody by an oversight."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.domain.errors import SettingsError
from node.domain.network import Right, SecretSource
from node.settings.loading import load

CLIENT = '[[web.clients]]\nae_title = "VIEWER"\ntoken = "file:viewer"\n'


def read(folder: Path, text: str):
    path = folder / "groundglass.toml"
    path.write_text(f"[web]\n{text}", encoding="utf-8")
    return load(path, {}).web


def test_it_is_closed_by_default() -> None:
    web = load(None, {}).web
    assert (web.enabled, web.host, web.token, web.anonymous) == (False, "127.0.0.1", None, False)
    assert web.rights == {Right.QUERY, Right.RETRIEVE}
    assert web.addresses == ("127.0.0.1", "::1")


def test_files_start_at_the_settings_file(tmp_path: Path) -> None:
    web = read(
        tmp_path,
        'enabled = true\nhost = "0.0.0.0"\ntoken = "file:token"\ncertificate = "a.pem"\nkey = "b.pem"\n',
    )
    assert web.token_source() == SecretSource(file=tmp_path / "token")
    assert (web.certificate, web.key) == (tmp_path / "a.pem", tmp_path / "b.pem")
    assert read(tmp_path, 'token = "env:TOKEN"').token_source() == SecretSource(variable="TOKEN")


def test_clients_have_tokens_and_rights_of_their_own(tmp_path: Path) -> None:
    [viewer] = read(tmp_path, f"enabled = true\n{CLIENT}").clients
    assert viewer.token_source() == SecretSource(file=tmp_path / "viewer")
    assert viewer.rights == {Right.QUERY, Right.RETRIEVE}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("enabled = true", "anonymous"),
        ('enabled = true\nanonymous = true\ntoken = "env:TOKEN"', "not both"),
        ('enabled = true\nanonymous = true\nhost = "0.0.0.0"', "plain HTTP"),
        ('enabled = true\nanonymous = true\nhost = "node.example"', "plain HTTP"),
        ('certificate = "a.pem"', "belong together"),
        ('token = "hunter2-hunter2-hunter2"', "env:VARIABLE"),
        ('rights = ["commitment"]', "rights"),
        ('path = "dicom-web"', "no path"),
        ('path = "/a/../b"', "no path"),
        ('path = "/{study}"', "no path"),
        ('origins = ["https://a.example/x"]', "no origin"),
        ('public_url = "ftp://a.example"', "no HTTP address"),
        ('addresses = ["somewhere"]', "no IP address"),
        (f"enabled = true\nanonymous = true\n{CLIENT}", "not both"),
        (CLIENT + CLIENT, "name each once"),
        (f'{CLIENT}rights = ["commitment"]', "rights"),
    ],
)
def test_what_would_open_it_by_an_oversight_is_refused(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(SettingsError, match="web") as caught:
        read(tmp_path, text)
    assert word in str(caught.value) or word.replace("no ", "not an ") in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_certificate(tmp_path: Path, host: str) -> None:
    assert read(tmp_path, f'enabled = true\nanonymous = true\nhost = "{host}"').enabled
    assert read(
        tmp_path, 'enabled = true\nanonymous = true\nhost = "0.0.0.0"\nallow_plain_http = true'
    ).enabled
