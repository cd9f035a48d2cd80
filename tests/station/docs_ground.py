"""Runs the tested blocks of one document, in order, in a folder of its own, with short waiting times."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.cli.main import app
from tests.docs_reading import ROOT, Block, Document, Step
from tests.free_ports import free_port

DEADLINE = 120.0
PORTS = ("11112", "11113", "11114", "8042", "8001", "8080", "2762")
"""The ports that the documents name; each becomes a free one."""
SHELL = re.compile(r"[|;&$*<>`]")
VARIABLE = re.compile(r"(?P<name>[A-Z]+)=\$\(")
FAST = {
    "GROUNDGLASS_ASSEMBLE__SWEEP_SECONDS": "0.2",
    "GROUNDGLASS_ASSEMBLE__GEOMETRY_QUIET_SECONDS": "0.5",
    "GROUNDGLASS_ASSEMBLE__PLAIN_QUIET_SECONDS": "0.5",
    "GROUNDGLASS_ASSEMBLE__STUDY_QUIET_SECONDS": "0.5",
    "GROUNDGLASS_ASSEMBLE__FLOOR_SECONDS": "0.1",
    "GROUNDGLASS_ASSEMBLE__CEILING_SECONDS": "0.5",
    "GROUNDGLASS_DELIVER__COURIER_SECONDS": "0.2",
    "GROUNDGLASS_HEALTH__LEAST_FREE_BYTES": "0",
    "COLUMNS": "130",
}


@dataclass
class Walk:
    """One document on its way; made with the working folder and the environment already set."""

    folder: Path
    ports: dict[str, str] = field(default_factory=lambda: {port: str(free_port()) for port in PORTS})
    variables: dict[str, str] = field(default_factory=dict)
    running: dict[str, Background] = field(default_factory=dict)

    def follow(self, document: Document) -> int:
        """Do what the document says; return how many blocks were tested."""
        blocks = [block for block in document.blocks if block.tested]
        for block in blocks:
            try:
                self.do(block)
            except AssertionError as error:
                raise AssertionError(f"{document.name}:{block.line}: {error}") from error
        return len(blocks)

    def do(self, block: Block) -> None:
        """Write the file or run the commands of one block."""
        if "file" in block.options or "append" in block.options:
            name = block.options.get("file") or block.options["append"]
            with (self.folder / name).open("w" if "file" in block.options else "a") as file:
                file.write(self.translated(block.body))
        elif "background" in block.options:
            (step,) = block.steps
            self.start(step, block.options)
        else:
            *first, last = block.steps
            for step in first:
                self.check(step, self.run(step.command), 0)
            self.check(
                last, self.run(last.command, block.options.get("until")), int(block.options.get("exit", 0))
            )

    def run(self, command: str, until: str | None = None) -> Answer:
        """Run a command; again and again until its output holds a text, where one is given."""
        end = time.monotonic() + DEADLINE
        pause = threading.Event()
        while True:
            answer = self.once(self.translated(command))
            if until is None or until in answer.output:
                return answer
            assert time.monotonic() < end, f"{command!r} never printed {until!r}:\n{answer.output}"
            pause.wait(0.2)

    def once(self, command: str) -> Answer:
        """Run one command line: one of the product in this process, any other by the shell."""
        words = self.expanded(command)
        if words is not None and words[0] == "groundglass":
            result = CliRunner().invoke(app, words[1:])
            return Answer(result.exit_code, result.output)
        name = VARIABLE.match(command)
        script = f'{command}; printf %s "${name["name"]}"' if name else command
        done = subprocess.run(
            ["bash", "-c", script],
            env={**os.environ, **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if name:
            assert done.stdout, f"{command!r} gave nothing"
            self.variables[name["name"]] = done.stdout
        return Answer(done.returncode, "" if name else done.stdout)

    def expanded(self, command: str) -> list[str] | None:
        """Return the words of a plain command; None when only a shell understands it."""
        if VARIABLE.match(command):
            return None
        for name, value in self.variables.items():
            command = command.replace(f"${name}", shlex.quote(value))
        words = shlex.split(command)
        words = [
            word
            for item in words
            for word in (sorted(map(str, Path().glob(item))) if "*" in item else [item])
        ]
        return None if SHELL.search(command.replace("*", "")) else words

    def check(self, step: Step, answer: Answer, code: int) -> None:
        """Compare exit code and output with what the document shows."""
        assert answer.code == code, f"{step.command!r} ended with {answer.code}:\n{answer.output}"
        missing = first_missing([self.translated(line) for line in step.shown], answer.output)
        assert missing is None, f"{step.command!r} does not print {missing!r}; it prints:\n{answer.output}"

    def start(self, step: Step, options: dict[str, str]) -> None:
        """Start a program that goes on; one that was started by the same command before is ended first."""
        command = self.translated(step.command)
        if command in self.running:
            self.running.pop(command).end()
        program = Background(command, self.folder / f"background-{len(self.running)}.log")
        self.running[command] = program
        port = self.ports[options["port"]] if "port" in options else None
        program.wait(options["background"], port)
        missing = first_missing([self.translated(line) for line in step.shown], program.output)
        assert missing is None, f"{step.command!r} does not print {missing!r}:\n{program.output}"

    def translated(self, text: str) -> str:
        """Put free ports in place of the document's."""
        for port, free in self.ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return text

    def end(self) -> None:
        """End every program, the last one first: none calls another one that has ended."""
        for program in reversed(self.running.values()):
            program.end()
        if (self.folder / ".triton").is_dir():
            self.once("groundglass triton down")


@dataclass(frozen=True)
class Answer:
    """What a command left."""

    code: int
    output: str


class Background:
    """A program that runs beside the commands."""

    def __init__(self, command: str, log: Path) -> None:
        self._log = log
        words = shlex.split(command)
        own = words[0] == "groundglass"
        program = [sys.executable, "-m", "node"] if own else [sys.executable]
        # Where the tests run in the background of a shell, SIGINT is ignored by whoever asks not for it.
        self._stop = signal.SIGINT if own else signal.SIGTERM
        with log.open("wb") as file:
            self._process = subprocess.Popen([*program, *words[1:]], stdout=file, stderr=subprocess.STDOUT)

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait(self, text: str, port: str | None) -> None:
        """Wait until the program printed a text and, where a port is given, listens there."""
        end = time.monotonic() + DEADLINE
        pause = threading.Event()
        while text not in self.output or (port is not None and not answers(port)):
            assert self._process.poll() is None, f"the program ended:\n{self.output}"
            assert time.monotonic() < end, f"the program never printed {text!r}:\n{self.output}"
            pause.wait(0.1)

    def end(self) -> None:
        """End the program, that of the product as Ctrl-C does."""
        self._process.send_signal(self._stop)
        try:
            self._process.wait(timeout=60)
        finally:
            self._process.kill()
            self._process.wait()


def first_missing(shown: list[str], output: str) -> str | None:
    """Return the first shown line that the output does not have, in order; None when it has all of them.

    ``...`` stands for anything within a line, and alone for any number of lines. Runs of blanks count as one.
    """
    lines = iter([" ".join(line.split()) for line in output.splitlines()])
    for line in shown:
        wanted = " ".join(line.split())
        if wanted == "...":
            continue
        pattern = re.compile(".*".join(map(re.escape, wanted.split("..."))))
        if not any(pattern.fullmatch(actual) for actual in lines):
            return line
    return None


def named_by(pattern: str) -> list[str]:
    return sorted(map(str, Path().glob(pattern)))


def answers(port: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", int(port)), timeout=1):
            return True
    except OSError:
        return False


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Walk:
    """Return a walk in a folder, with the environment of somebody who reads the document."""
    walk = Walk(folder)
    for name in ("deploy", ".venv-triton"):
        (folder / name).symlink_to(ROOT / name)
    monkeypatch.chdir(folder)
    for name, value in FAST.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GROUNDGLASS_HEALTH__PORT", walk.ports["8042"])
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return walk
