from __future__ import annotations

from pathlib import Path

import pytest

from node.domain.errors import SettingsError
from node.domain.network import (
    DicomDestination,
    FolderDestination,
    Proof,
    SecretSource,
    StowDestination,
    WebhookDestination,
)
from node.domain.result import ResultKind
from node.settings.loading import load

TEXT = """
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "10.0.0.9"
port = 104
objects = ["report", "heatmap"]
proof = "find"

[[destinations]]
name = "archive"
kind = "stow"
url = "https://pacs.example/dicom-web/"
ca_file = "ca.pem"
client_certificate = "/etc/node.pem"
client_key = "node.key"
token = "file:secrets/token"
proof = "none"

[[destinations]]
name = "share"
kind = "folder"
path = "results"

[[destinations]]
name = "ris"
kind = "webhook"
url = "http://127.0.0.1:8080/hook"
user = "node"
password = "env:RIS_PASSWORD"
secret = "env:RIS_KEY"
identifiers = true
"""
STOW = '[[destinations]]\nname = "a"\nkind = "stow"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "groundglass.toml"
    path.write_text(text)
    return path


def test_each_kind_becomes_its_record(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    pacs, archive, share, ris = load(write(tmp_path, TEXT), {}).destination_records()
    assert isinstance(pacs, DicomDestination)
    assert (pacs.address, pacs.proof) == ("PACS@10.0.0.9:104", Proof.FIND)
    assert pacs.kinds == {ResultKind.REPORT, ResultKind.HEATMAP, ResultKind.REJECTION}
    assert isinstance(archive, StowDestination)
    assert archive.address == archive.access.url == "https://pacs.example/dicom-web"
    assert archive.access.token == SecretSource(file=folder / "secrets" / "token")
    assert (archive.access.ca_file, archive.access.client_key) == (folder / "ca.pem", folder / "node.key")
    assert archive.access.client_certificate == Path("/etc/node.pem")
    assert (archive.proof, archive.kinds) == (Proof.NONE, frozenset(ResultKind))
    assert isinstance(share, FolderDestination)
    assert share.folder == folder / "results"
    assert isinstance(ris, WebhookDestination)
    assert ris.address == "http://127.0.0.1:8080"  # the path may be a secret
    assert (ris.secret, ris.identifiers) == (SecretSource(variable="RIS_KEY"), True)
    assert ris.access.password == SecretSource(variable="RIS_PASSWORD")
    assert ris.kinds == {ResultKind.REPORT, ResultKind.REJECTION}


def test_a_table_without_a_kind_is_an_application_entity(tmp_path: Path) -> None:
    (first, *_) = load(write(tmp_path, TEXT), {}).destinations
    assert first.kind == "dicom"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[[destinations]]\nname = "a"\nkind = "ftp"', "destinations[0].kind: kind is one of 'dicom', "),
        ('[[destinations]]\nname = "a"\nkind = 7', "destinations[0].kind: kind is one of 'dicom', "),
        (STOW, "destinations[0].url: missing; add it"),
        (STOW + 'url = "https://h"\nzzz = "A"', "destinations[0].zzz: unknown key; known here: "),
        (
            STOW + 'url = "https://h"\ntokn = "env:A"',
            "destinations[0].tokn: unknown key; did you mean 'token'?",
        ),
        (STOW + 'url = "ftp://h"', "destinations[0].url: it is no HTTP address"),
        (STOW + 'url = "HTTP://h"', "destinations[0].url: it is no HTTP address"),
        (STOW + 'url = "https://h:99999"', "destinations[0].url: it is no HTTP address"),
        (STOW + 'url = "https://h/a b"', "destinations[0].url: it is no HTTP address"),
        (STOW + 'url = "https://h/?a=b"', "destinations[0].url: write the address without user"),
        (STOW + 'url = "http://h"', "destinations[0]: use an https:// address, or set allow_plain_http"),
        (
            STOW + 'url = "http://h"\nallow_plain_http = true\ntoken = "env:A"',
            "destinations[0]: credentials are not sent over plain HTTP",
        ),
        (STOW + 'url = "https://h"\nuser = "a"', "destinations[0]: user and password belong together"),
        (STOW + 'url = "https://h"\nclient_key = "a"', "destinations[0]: client_certificate and client_key"),
        (STOW + 'url = "https://h"\nproof = "commitment"', "destinations[0].proof: "),
        (
            STOW + 'url = "https://h"\ntoken = "env:A"\nuser = "a"\npassword = "env:B"',
            "destinations[0]: give either a token or a user",
        ),
        (
            '[[destinations]]\nname = "a"\nkind = "folder"\npath = "x"\nobjects = []',
            "destinations[0].objects: ",
        ),
    ],
)
def test_errors_name_the_key(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path, text), {})
    (only,) = str(caught.value).splitlines()
    assert line in only


@pytest.mark.parametrize("value", ["'hunter2'", "'file:'", "'env:hunter2 x'", "7777", "{ hunter2 = 1 }"])
def test_a_secret_that_stands_in_the_file_is_refused_and_not_repeated(tmp_path: Path, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path, f'{STOW}url = "https://h"\ntoken = {value}'), {})
    assert "token: a secret does not stand in the settings" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "7777" not in str(caught.value)


def test_an_address_with_a_password_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path, f'{STOW}url = "https://me:hunter2@h/"'), {})
    assert "hunter2" not in str(caught.value)


def test_plain_http_is_allowed_where_the_settings_say_so(tmp_path: Path) -> None:
    (only,) = load(write(tmp_path, f'{STOW}url = "http://h"\nallow_plain_http = true'), {}).destinations
    assert only.kind == "stow"
