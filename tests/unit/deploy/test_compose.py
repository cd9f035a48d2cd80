"""The compose files, read and merged by compose itself, and the settings that they mount."""

from __future__ import annotations

import json
import shlex
import subprocess
import urllib.request
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from node.cli.main import app
from node.settings.loading import load
from tests.free_ports import free_port
from tests.journey.orthanc import wait_for

COMPOSE = Path(__file__).parents[3] / "deploy" / "compose"
TARGETS = {"cpu.yaml": "cpu", "gpu.yaml": "onnx", "tensorrt.yaml": "tensorrt"}


@pytest.fixture(scope="module", params=sorted(TARGETS))
def stack(request, program):
    """The services of compose.yaml with one of the files that say what the server computes with."""
    answer = program(
        "docker-compose",
        *("--file", COMPOSE / "compose.yaml", "--file", COMPOSE / request.param),
        *("config", "--format", "json"),
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    return request.param, json.loads(answer.stdout)


def test_every_file_beside_the_first_has_its_target_here():
    assert {path.name for path in COMPOSE.glob("*.yaml")} == {"compose.yaml", *TARGETS}


def test_compose_is_able_to_complain(program, tmp_path):
    (tmp_path / "compose.yaml").write_text("services:\n  node:\n    imagee: x\n")
    assert program("docker-compose", "--file", tmp_path / "compose.yaml", "config").returncode != 0


def test_the_repository_is_built_for_what_the_server_runs(stack, tmp_path, monkeypatch):
    """The very command of the service, with another folder, on the networks that the image holds."""
    name, config = stack
    services = config["services"]
    command = services["models"]["command"]
    assert command[command.index("--target") + 1] == TARGETS[name]
    out = command[command.index("--out") + 1]
    mounted = {volume["target"]: volume["source"] for volume in services["triton"]["volumes"]}
    assert mounted[out] == "models"
    assert f"--model-repository={out}" in services["triton"]["command"]

    monkeypatch.chdir(tmp_path)
    words = [word if word != out else str(tmp_path / "out") for word in command]
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 0, answer.output
    assert list((tmp_path / "out").glob("*/config.pbtxt"))


def test_nobody_but_the_node_reaches_the_server(stack):
    _, config = stack
    assert "ports" not in config["services"]["triton"]
    assert config["networks"]["inference"]["internal"] is True
    on_it = {
        name for name, service in config["services"].items() if "inference" in (service.get("networks") or {})
    }
    assert on_it == {"triton", "node"}


def test_scanners_can_send_whatever_the_server_does(stack):
    """What is received waits for the server, so the node must not."""
    _, config = stack
    assert "triton" not in (config["services"]["node"].get("depends_on") or {})


def test_the_pacs_that_comes_along_is_this_machine_s_alone(stack):
    """It believes any AE title, and its pages ask for no password."""
    _, config = stack
    assert {port.get("host_ip") for port in config["services"]["pacs"]["ports"]} == {"127.0.0.1"}


def test_the_services_are_locked(stack):
    _, config = stack
    for name, service in config["services"].items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if name != "pacs":
            assert service["cap_drop"] == ["ALL"], name
    published = {port["published"]: port.get("host_ip") for port in config["services"]["node"]["ports"]}
    assert published == {"11112": None, "8042": "127.0.0.1"}


def test_the_nodes_settings_name_the_stacks_parts(stack):
    _, config = stack
    services = config["services"]
    (mount,) = [v for v in services["node"]["volumes"] if v["target"].startswith("/etc")]
    settings = load(Path(mount["source"]), {})

    host, port = settings.infer.triton.url.split(":")
    assert host in services
    assert port == "8001"
    assert settings.infer.engine == "triton"
    assert str(settings.node.port) in {p["published"] for p in services["node"]["ports"]}
    (pacs,) = settings.destinations
    orthanc = json.loads((COMPOSE / "orthanc.json").read_text())
    assert (pacs.host in services, pacs.port, pacs.ae_title) == (
        True,
        orthanc["DicomPort"],
        orthanc["DicomAet"],
    )
    assert orthanc["DicomModalities"]["groundglass"] == [settings.node.ae_title, "node", settings.node.port]
    (peer,) = settings.peers
    address = services["pacs"]["networks"]["hospital"]["ipv4_address"]
    assert (peer.ae_title, peer.addresses) == (orthanc["DicomAet"], (address,))


def test_orthanc_starts_on_its_file(tmp_path):
    """The real PACS reads it, with ports and folders that are free here."""
    settings = json.loads((COMPOSE / "orthanc.json").read_text())
    settings |= {
        "StorageDirectory": str(tmp_path / "db"),
        "IndexDirectory": str(tmp_path / "db"),
        "HttpPort": free_port(),
        "DicomPort": free_port(),
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["Orthanc", str(tmp_path / "orthanc.json")], stdout=log, stderr=subprocess.STDOUT
        )

    def system():
        assert process.poll() is None, (tmp_path / "log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{settings['HttpPort']}/system") as answer:
                return json.load(answer)
        except OSError:
            return None

    try:
        assert wait_for(system, seconds=30, what="Orthanc")["DicomAet"] == "PACS"
    finally:
        process.terminate()
        process.wait(30)


def test_the_files_tell_how_they_are_used():
    first = (COMPOSE / "compose.yaml").read_text()
    command = next(line for line in first.splitlines() if "docker compose" in line)
    files = [word for word in shlex.split(command.lstrip("# ")) if word.endswith(".yaml")]
    assert all((COMPOSE.parents[1] / name).is_file() for name in files)
    assert set(yaml.safe_load(first)["services"]) == {"models", "triton", "node", "pacs"}
