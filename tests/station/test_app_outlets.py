"""A node whose results go to a DICOMweb server, into a folder and to a web service."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest

from node.app import Node, build
from node.cli.exits import ExitCode
from node.infer.bundle import Bundle
from tests.station.app_ground import Place, install, phantom_folder, wait_for
from tests.web_server import Seen, WebServer, answer

AUDIT = ("--by", "tester", "--reason", "test")
NAMES = ("archive", "share", "ris")
DESTINATIONS = """
[[destinations]]
name = "archive"
kind = "stow"
url = "{archive}/dicom-web"
token = "file:token"

[[destinations]]
name = "share"
kind = "folder"
path = "results"
objects = ["report", "summary"]

[[destinations]]
name = "ris"
kind = "webhook"
url = "{ris}"
secret = "file:key"
"""


class Archive:
    """A DICOMweb server that keeps what it is sent and finds it again."""

    def __init__(self) -> None:
        self.kept: dict[str, pydicom.Dataset] = {}

    def script(self, seen: Seen) -> bytes:
        if seen.headers.get("authorization") != "Bearer 123":
            return answer(401)
        if seen.method == "GET":
            (uid,) = parse_qs(urlsplit(seen.target).query)["SOPInstanceUID"]
            found = [{"00080018": {"vr": "UI", "Value": [uid]}}] if uid in self.kept else []
            return answer(200, json.dumps(found).encode(), content_type="application/dicom+json")
        boundary = seen.headers["content-type"].rpartition("boundary=")[2]
        part = seen.body.split(f"--{boundary}".encode())[1].partition(b"\r\n\r\n")[2]
        data_set = pydicom.dcmread(io.BytesIO(part))
        self.kept[str(data_set.SOPInstanceUID)] = data_set
        return answer(200)


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def servers(archive: Archive) -> Iterator[tuple[WebServer, WebServer]]:
    with WebServer(archive.script) as dicomweb, WebServer(lambda _: answer(200)) as ris:
        yield dicomweb, ris


@pytest.fixture
def place(tmp_path: Path, tiny_bundle: Bundle, servers: tuple[WebServer, WebServer]) -> Place:
    made = install(tmp_path, tiny_bundle)
    dicomweb, ris = servers
    with made.config.open("a") as file:
        file.write(DESTINATIONS.format(archive=dicomweb.url, ris=ris.url))
    (tmp_path / "token").write_text("123\n")
    (tmp_path / "key").write_text("0123456789abcdef\n")
    (tmp_path / "results").mkdir()
    return made


@pytest.fixture
def node(place: Place) -> Iterator[Node]:
    with ExitStack() as opened:
        made = build(place.settings)
        made.start()
        opened.callback(made.stop)
        yield made


@pytest.mark.long
def test_results_leave_by_every_way(
    place: Place, node: Node, archive: Archive, servers: tuple[WebServer, WebServer], tmp_path: Path
) -> None:
    for name in NAMES:
        assert place.command("go-live", name, *AUDIT).exit_code == 0
    study = str(pydicom.dcmread(phantom_folder(tmp_path / "series")[0]).StudyInstanceUID)
    place.json("send", str(tmp_path / "series"), "--to", f"GROUNDGLASS@127.0.0.1:{place.port}", "--as", "CT1")

    def deliveries() -> dict[str, list[tuple[str, str]]]:
        found = place.json("studies", "show", study)["deliveries"]
        return {
            name: [(item["kind"], item["state"]) for item in found if item["destination"] == name]
            for name in NAMES
        }

    def proven() -> bool:
        found = deliveries()
        return all(found.values()) and {s for rows in found.values() for _, s in rows} == {"delivered"}

    wait_for(proven, "every result to be proven to have arrived")
    kinds = {name: {kind for kind, _ in rows} for name, rows in deliveries().items()}
    assert kinds["share"] == {"report", "summary"}
    assert kinds["ris"] == {"report"}
    assert len(archive.kept) == len(deliveries()["archive"]) > len(deliveries()["share"])

    (report,) = (item for item in archive.kept.values() if item.Modality == "SR")
    files = {path.name: path for path in (tmp_path / "results").iterdir()}
    assert len(files) == len(deliveries()["share"])
    assert pydicom.dcmread(files[f"{report.SOPInstanceUID}.dcm"]) == report
    (message,) = (json.loads(seen.body) for seen in servers[1].seen)
    assert message["object"]["sop_instance_uid"] == report.SOPInstanceUID
    assert (message["event"], message["study_instance_uid"]) == ("result", study)

    withdrawn = place.command("studies", "withdraw", study, "--title", "patient-safety", *AUDIT)
    assert withdrawn.exit_code == 0, withdrawn.output
    wait_for(lambda: len(servers[1].seen) > 1, "the web service to be told of the withdrawal")
    wait_for(proven, "the withdrawal to arrive everywhere")
    note = json.loads(servers[1].seen[1].body)
    assert (note["event"], note["title"]) == ("withdrawn", "patient-safety")
    assert str(report.SOPInstanceUID) in note["withdrawn_sop_instance_uids"]
    assert all("rejection" in {kind for kind, _ in rows} for rows in deliveries().values())


def test_each_kind_of_destination_answers_or_not(
    place: Place, servers: tuple[WebServer, WebServer], tmp_path: Path
) -> None:
    for name in NAMES:
        assert place.command("echo", "--to", name).exit_code == 0
    assert f"share ({tmp_path / 'results'}) answers." in place.command("echo", "--to", "share").stdout
    checks = {item["subject"]: item["passed"] for item in json.loads(place.command("check", "--json").stdout)}
    assert [checks[f"destination {name}"] for name in NAMES] == [True] * 3
    (tmp_path / "token").write_text("124")
    (tmp_path / "results").rmdir()
    servers[1].script = lambda _: answer(422)
    for name, code in zip(NAMES, (ExitCode.UNREACHABLE,) * 3, strict=True):
        assert place.command("echo", "--to", name).exit_code == code
    refused = place.command("send", str(tmp_path), "--to", "share")
    assert refused.exit_code == ExitCode.USAGE
    assert "is no application entity" in refused.stderr
