"""The service as the settings have it: secrets, certificates, ports."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from node.domain.errors import SettingsError
from node.publishing import publish, web_server
from node.receive.storage import StorageService
from node.settings.loading import load
from node.settings.settings import Settings
from node.store.store import Store, open_store
from node.web.connection import SPARE
from node.web.visits import Visits
from tests.certificates import Authority
from tests.free_ports import free_port
from tests.station.receiving_node import CountedUids, WallClock, migrated_index, wait_until, write_instance

TOKEN = "0123456789abcdef"


def configured(folder: Path, *lines: str) -> Settings:
    path = folder / "groundglass.toml"
    path.write_text("\n".join(["[web]", "enabled = true", *lines]), encoding="utf-8")
    return load(path, {})


@pytest.fixture
def store(tmp_path: Path):
    root = tmp_path / "data"
    root.mkdir()
    (root / "index.sqlite").write_bytes(migrated_index())
    store = open_store(root, clock=WallClock(), uids=CountedUids())
    yield store
    store.close()


def start(settings: Settings, store: Store, opened: ExitStack) -> None:
    clock = WallClock()
    storage = StorageService(files=store.files, records=store.intake, clock=clock)
    publish(settings, store, storage, clock=clock, opened=opened)


def test_it_serves_by_tls_with_a_token_that_may_change(tmp_path: Path, store: Store) -> None:
    authority = Authority(tmp_path / "ca")
    signed = authority.sign("node")
    port = free_port()
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    settings = configured(
        tmp_path,
        f"port = {port}",
        "max_connections = 4",
        'token = "file:token"',
        f'certificate = "{signed.certificate}"',
        f'key = "{signed.key}"',
    )
    trust = ssl.create_default_context(cafile=authority.root.certificate)
    url = f"https://127.0.0.1:{port}/dicom-web/studies"
    with ExitStack() as opened, httpx.Client(verify=trust) as client:
        start(settings, store, opened)
        allowed = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get(url, headers=allowed).status_code == 204
        assert client.get(url).status_code == 401
        assert client.post(url, headers=allowed).status_code == 403  # nobody may store
        (tmp_path / "token").write_text(TOKEN[::-1])
        assert client.get(url, headers=allowed).status_code == 401
        (tmp_path / "token").unlink()
        assert client.get(url, headers=allowed).status_code == 503
        silent = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(SPARE + 20)]
        assert [item.recv(1) for item in silent[SPARE + 4 :]] == [b""] * 16  # each holds a file of the node
        for item in silent:
            item.close()
        (tmp_path / "token").write_text(TOKEN)
        wait_until(lambda: _answers(url, trust), "handshakes are taken again")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_the_token_of_one_client_is_taken_away_and_the_others_stay(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    lines = [f"port = {port}"]
    for name, rights in (("VIEWER", '"query"'), ("GATEWAY", '"store"')):
        (tmp_path / name).write_text(name + TOKEN)
        lines += ["[[web.clients]]", f'ae_title = "{name}"', f'token = "file:{name}"', f"rights = [{rights}]"]
    image, _ = write_instance(tmp_path / "1.dcm")
    url = f"http://127.0.0.1:{port}/dicom-web/studies"
    with ExitStack() as opened, httpx.Client() as client:
        start(configured(tmp_path, *lines), store, opened)

        def asked(name: str) -> int:
            return client.get(url, headers={"Authorization": f"Bearer {name}{TOKEN}"}).status_code

        def given(name: str) -> int:
            headers = {"Authorization": f"Bearer {name}{TOKEN}", "Content-Type": "application/dicom"}
            return client.post(url, headers=headers, content=image.read_bytes()).status_code

        assert [asked(name) for name in ("VIEWER", "GATEWAY", "OTHER")] == [204, 403, 401]
        assert [given(name) for name in ("VIEWER", "GATEWAY", "OTHER")] == [403, 200, 401]
        (tmp_path / "GATEWAY").unlink()
        assert (given("GATEWAY"), asked("VIEWER")) == (401, 200)
        assert "GATEWAY is let in no more" in caplog.text
        assert TOKEN not in caplog.text
    with store.database.read() as connection:
        assert connection.exec_driver_sql("SELECT calling_ae_title FROM associations").scalars().all() == [
            "GATEWAY"
        ]
    (tmp_path / "GATEWAY").write_text("VIEWER" + TOKEN)
    with ExitStack() as opened, pytest.raises(SettingsError, match="the same token"):
        start(configured(tmp_path, *lines), store, opened)


def test_a_client_that_begins_no_handshake_is_let_go(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.web.server.HANDSHAKE_SECONDS", 0.1)
    signed = Authority(tmp_path / "ca").sign("node")
    settings = configured(
        tmp_path,
        "port = 0",
        "anonymous = true",
        f'certificate = "{signed.certificate}"',
        f'key = "{signed.key}"',
    )
    storage = StorageService(files=store.files, records=store.intake, clock=WallClock())
    visits = Visits(storage, WallClock())
    server = web_server(settings, store, storage, visits=visits)
    try:
        with socket.create_connection(("127.0.0.1", server.start()), timeout=20) as silent:
            assert silent.recv(1) == b""
    finally:
        server.stop()
        visits.close()


def _answers(url: str, trust: ssl.SSLContext) -> bool:
    try:
        return httpx.get(url, verify=trust, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 204
    except httpx.TransportError:
        return False


def test_what_cannot_be_served_stops_the_start(tmp_path: Path, store: Store) -> None:
    with ExitStack() as opened, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match="free it or choose another"):
            start(configured(tmp_path, f"port = {port}", "anonymous = true"), store, opened)
        (tmp_path / "token").write_text("short")
        with pytest.raises(SettingsError, match="shorter than 16 bytes"):
            start(configured(tmp_path, 'token = "file:token"'), store, opened)
        with pytest.raises(SettingsError, match="put it there"):
            start(configured(tmp_path, 'token = "file:elsewhere"'), store, opened)
        lines = ("port = 0", "anonymous = true", 'certificate = "token"', 'key = "token"')
        with pytest.raises(SettingsError, match="certificate"):
            start(configured(tmp_path, *lines), store, opened)


def test_it_is_called_by_the_name_of_the_settings(tmp_path: Path, store: Store) -> None:
    settings = configured(
        tmp_path, "port = 0", "anonymous = true", 'public_url = "https://node.example/archive"', 'path = "/x"'
    )
    clock = WallClock()
    storage = StorageService(files=store.files, records=store.intake, clock=clock)
    visits = Visits(storage, clock)
    server = web_server(settings, store, storage, visits=visits)
    try:
        base = f"http://127.0.0.1:{server.start()}/x"
        with httpx.Client(verify=False) as client:
            told = client.options(base, headers={"Accept": "application/json", "Host": "node.example"})
            assert told.json()["base"] == "https://node.example/archive"
            assert client.get(f"{base}/studies", headers={"Host": "evil.example"}).status_code == 421
            assert client.get(f"{base}/studies", headers={"Host": "localhost:1"}).status_code == 204
    finally:
        server.stop()
        visits.close()
