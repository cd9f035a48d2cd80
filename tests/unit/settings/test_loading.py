"""The settings file and the environment: defaults, overrides, and errors that name the key."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from node.domain.errors import SettingsError
from node.domain.network import CapPolicy, Right
from node.settings.loading import load

COMPLETE = """
[node]
ae_title = "GG1"
port = 11113
data_dir = "data"

[[peers]]
ae_title = "CT1"
addresses = ["10.0.0.5", "10.1.0.0/16"]

[[peers]]
ae_title = "RIS"
addresses = ["10.0.0.6"]
rights = ["echo"]
authority = true

[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "pacs.example"
port = 104
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "groundglass.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_those_of_the_design() -> None:
    settings = load(None, {})
    quiet = settings.assemble.quiet_times()
    assert quiet.geometry == timedelta(seconds=30)
    assert quiet.plain == timedelta(seconds=120)
    assert quiet.study == timedelta(seconds=120)
    assert quiet.cap == timedelta(minutes=30)
    assert (quiet.floor, quiet.ceiling) == (timedelta(seconds=30), timedelta(seconds=300))
    assert quiet.gap_multiple == 3
    assert settings.assemble.cap_policy is CapPolicy.SKIP_AND_NOTIFY
    assert settings.deliver.mode == "silent"
    assert settings.listen_limits().max_pdu == 131072
    assert settings.peers == ()
    assert settings.health.host == "127.0.0.1"


def test_a_file_becomes_domain_records(tmp_path: Path) -> None:
    settings = load(write(tmp_path, COMPLETE), {})
    scanner, ris = settings.peer_records()
    assert scanner.addresses == ("10.0.0.5", "10.1.0.0/16")
    assert scanner.rights == {Right.STORE, Right.ECHO}
    assert (ris.rights, ris.authority) == ({Right.ECHO}, True)
    (pacs,) = settings.destination_records()
    assert (pacs.name, pacs.port, pacs.accept_demonstration) == ("pacs", 104, False)
    assert settings.node.data_dir == tmp_path.resolve() / "data"


def test_folders_begin_where_the_file_lies(tmp_path: Path) -> None:
    infer = load(write(tmp_path, '[infer]\nmodels_dir = "models"\ncache_dir = "compiled"\n'), {}).infer
    folder = tmp_path.resolve()
    assert (infer.models_dir, infer.cache_dir) == (folder / "models", folder / "compiled")
    assert load(None, {}).infer.cache_dir is None


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    environ = {"GROUNDGLASS_NODE__PORT": "11200", "GROUNDGLASS_DATA": "elsewhere"}
    settings = load(write(tmp_path, COMPLETE), environ)
    assert settings.node.port == 11200
    assert settings.node.ae_title == "GG1"


def test_settings_are_frozen() -> None:
    settings = load(None, {})
    with pytest.raises(ValidationError):
        settings.node.port = 1  # type: ignore[misc]  # that it is refused is the test


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[node]\nprot = 1", "node.prot: unknown key; did you mean 'port'?"),
        ("[nodes]\nport = 1", "nodes: unknown key; did you mean 'node'?"),
        ("[node]\nport = 70000", "node.port: input should be less than or equal to 65535; it is 70000"),
        ('[[peers]]\nae_title = "A"', "peers[0].addresses: missing; add it"),
        ('[[peers]]\nae_title = "A"\naddresses = []', "peers[0].addresses: "),
        (
            '[[peers]]\nae_title = "A"\naddresses = ["10.0.0.300"]',
            "peers[0].addresses[0]: '10.0.0.300' is not an IP address or network",
        ),
        (
            '[[peers]]\nae_title = "ABCDEFGHIJKLMNOPQ"\naddresses = ["::1"]',
            "peers[0].ae_title: 'ABCDEFGHIJKLMNOPQ' is not an AE title",
        ),
        ('[deliver]\nmode = "live"', "deliver.mode: input should be 'silent'; it is 'live'"),
        ("[assemble]\nfloor_seconds = 400", "assemble: floor_seconds is above ceiling_seconds; lower it"),
        ('[infer]\nmodel = "../elsewhere"', "infer.model: "),
        ("[infer.triton]\nulr = 1", "infer.triton.ulr: unknown key; did you mean 'url'?"),
        (
            '[[infer.routes]]\nmodality = "CT"\nmodel = "a"\nstation = "x"',
            "infer.routes[0].station: unknown key; did you mean 'station_name'?",
        ),
        ('[[infer.routes]]\nmodality = "MR"\nmodel = "a"', "infer.routes[0].modality: "),
        ('[[infer.routes]]\nmodality = "CT"\nmodel = "a"\nae_title = " "', "infer.routes[0].ae_title: "),
        ('[infer]\nshadow = ["a:b"]', "infer.shadow[0]: 'a:b' names no model"),
        ("[assemble]\nsweep_seconds = nan", "assemble.sweep_seconds: "),
        ("[node\n", "not TOML"),
    ],
)
def test_errors_name_the_key(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path, text), {})
    (only,) = str(caught.value).splitlines()
    assert line in only


def test_every_wrong_key_gets_its_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path, '[node]\nport = -1\n[[destinations]]\nname = "a b"'), {})
    keys = [line.partition(":")[0] for line in str(caught.value).splitlines()]
    expected = {"node.port", "destinations[0].name", "destinations[0].ae_title"}
    assert expected | {"destinations[0].host", "destinations[0].port"} == set(keys)


def test_names_that_stand_twice_are_refused(tmp_path: Path) -> None:
    destination = '[[destinations]]\nname = "pacs"\nae_title = "P"\nhost = "h"\nport = 1\n'
    with pytest.raises(SettingsError, match="'pacs' stands twice"):
        load(write(tmp_path, destination * 2), {})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load(tmp_path / "absent.toml", {})


def test_a_list_in_the_environment_must_be_json() -> None:
    with pytest.raises(SettingsError, match=r"peers.*JSON"):
        load(None, {"GROUNDGLASS_PEERS": "[{"})


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=3))
def test_any_value_is_taken_or_refused_with_a_settings_error(values: dict[str, int | str]) -> None:
    environ = {f"GROUNDGLASS_NODE__{key}": str(value) for key, value in values.items()}
    with contextlib.suppress(SettingsError):
        assert load(None, environ).node.ae_title


def test_a_time_zone_is_a_name_of_the_iana_database(tmp_path: Path) -> None:
    zone = load(write(tmp_path, '[node]\ntime_zone = "Asia/Tehran"\n'), {}).node.zone()
    assert datetime(2026, 1, 5, 8, 0, tzinfo=UTC).astimezone(zone).strftime("%H:%M") == "11:30"
    with pytest.raises(SettingsError, match=r"node\.time_zone.*no time zone"):
        load(write(tmp_path, '[node]\ntime_zone = "Tehran time"\n'), {})
