"""``groundglass triton``: the development server from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from node.cli.main import app
from node.infer.process import started_at
from node.infer.server_environment import ServerEnvironment
from tests.free_ports import free_port
from tests.triton_server import ENVIRONMENT, Site, write_networks


class Shell:
    """Runs the commands on a server folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, command: str, *arguments: str) -> Result:
        places = ("--environment", str(ENVIRONMENT), "--folder", str(self.folder))
        return CliRunner().invoke(app, ["triton", command, *arguments, *places])

    def status(self) -> tuple[int, Any]:
        answer = self.run("status", "--json")
        return answer.exit_code, json.loads(answer.stdout)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path / "server")
    yield made
    made.run("down")


def test_up_status_and_down(shell: Shell, tmp_path: Path) -> None:
    write_networks(tmp_path / "models", tmp_path / "repository")
    assert shell.status() == (3, {"up": False, "ready": False})

    port = free_port()
    first = shell.run(
        "up", "--repository", str(tmp_path / "repository"), "--model", "tiny", "--grpc-port", str(port)
    )
    assert first.exit_code == 0, first.output
    code, found = shell.status()
    assert found["ports"]["grpc"] == port
    assert (code, found["up"], found["ready"]) == (0, True, True)
    assert f'infer.triton.url = "{found["url"]}"' in first.stdout
    assert found["url"] == f"127.0.0.1:{found['ports']['grpc']}"
    assert len(set(found["ports"].values())) == 3

    again = shell.run("up", "--repository", str(tmp_path / "repository"), "--json")
    assert json.loads(again.stdout) == found
    elsewhere = shell.run("up", "--repository", str(tmp_path))
    assert elsewhere.exit_code == 2
    assert "stop it first" in elsewhere.stderr

    assert "the server is down" in shell.run("down").stdout
    assert started_at(found["pid"]) is None
    assert shell.status() == (3, {"up": False, "ready": False})
    assert "no server was up" in shell.run("down").stdout


def test_a_server_that_is_installed_here_is_started_in_place_of_the_environment(
    shell: Shell, tmp_path: Path
) -> None:
    write_networks(tmp_path / "models", tmp_path / "repository")
    environment = ServerEnvironment(folder=ENVIRONMENT)
    environment.install()
    installed = tmp_path / "opt"
    environment.write_backends(installed / "backends")
    missing = shell.run("up", "--repository", str(tmp_path / "repository"), "--installed", str(installed))
    assert missing.exit_code == 2
    assert "bin/tritonserver" in missing.stderr

    wanted = environment.variables({"PATH": "/usr/bin:/bin"})
    settings = " ".join(f'{key}="{wanted[key]}"' for key in ("PATH", "LD_LIBRARY_PATH"))
    program = installed / "bin" / "tritonserver"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n{settings} exec "{environment.server / "bin" / "tritonserver"}" "$@"\n')
    program.chmod(0o755)
    answer = shell.run(
        "up", "--repository", str(tmp_path / "repository"), "--model", "tiny", "--installed", str(installed)
    )
    assert answer.exit_code == 0, answer.output
    assert shell.status()[0] == 0


def test_a_network_that_does_not_load_is_shown_by_the_end_of_the_log(shell: Shell, tmp_path: Path) -> None:
    write_networks(tmp_path / "models", tmp_path / "repository")
    weights = tmp_path / "repository" / "tiny" / "1" / "model.onnx"
    weights.unlink()
    weights.write_bytes(b"something else")
    answer = shell.run("up", "--repository", str(tmp_path / "repository"), "--model", "tiny")
    assert answer.exit_code == 3
    assert "the server ended at its start" in answer.stderr
    assert "model.onnx has the digest" in answer.stderr
    assert shell.status() == (3, {"up": False, "ready": False})


def test_a_repository_that_is_not_there_is_named(shell: Shell, tmp_path: Path) -> None:
    answer = shell.run("up", "--repository", str(tmp_path / "none"))
    assert answer.exit_code == 2
    assert "models build" in answer.stderr


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1}'])
def test_a_state_file_of_another_making_is_left_to_the_operator(shell: Shell, text: str) -> None:
    shell.folder.mkdir()
    (shell.folder / "server.json").write_text(text)
    for command in ("status", "down"):
        answer = shell.run(command)
        assert answer.exit_code == 2
        assert "by hand" in answer.stderr
    (shell.folder / "server.json").unlink()


def test_a_process_that_was_given_the_number_later_is_left_alone(shell: Shell, triton: Site) -> None:
    state = {
        "pid": triton.running.pid,
        "started": triton.running.started - 1,
        "ports": {"http": 1, "grpc": 1, "metrics": 1},
        "repository": str(triton.repository),
    }
    shell.folder.mkdir()
    (shell.folder / "server.json").write_text(json.dumps(state))
    assert shell.status() == (3, {"up": False, "ready": False})
    assert "no server was up" in shell.run("down").stdout
    assert triton.running.is_alive


def test_an_environment_that_is_complete_is_left_as_it_is(shell: Shell) -> None:
    stamp = ENVIRONMENT / "installed-pins.sha256"
    before = stamp.stat().st_mtime_ns
    answer = CliRunner().invoke(app, ["triton", "install", "--environment", str(ENVIRONMENT)])
    assert answer.exit_code == 0, answer.output
    assert stamp.stat().st_mtime_ns == before


@pytest.mark.long
def test_packages_that_cannot_be_had_leave_no_environment_behind_that_looks_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    folder = tmp_path / "environment"
    answer = CliRunner().invoke(app, ["triton", "install", "--environment", str(folder)])
    assert answer.exit_code == 2
    assert "cannot be installed" in answer.stderr
    assert not (folder / "installed-pins.sha256").exists()
