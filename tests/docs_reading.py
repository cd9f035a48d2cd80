"""The documents as data: their fenced blocks, the commands in them, their links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTED = "tested"
RECIPE = "recipe"
PROMPT = "$ "

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_OPTION = re.compile(r'(\w+)=(?:"([^"]*)"|(\S+))')


@dataclass(frozen=True)
class Step:
    """One command of a console block with the output that is shown under it."""

    command: str
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    document: Path
    line: int
    info: str
    body: str

    @property
    def language(self) -> str:
        return self.info.split()[0] if self.info.split() else ""

    @property
    def tested(self) -> bool:
        return TESTED in _OPTION.sub("", self.info).split()[1:]

    @property
    def console(self) -> bool:
        return self.language == "console"

    @property
    def recipe(self) -> bool:
        """Whether it is a recipe of the trainer, and not the node's settings."""
        return RECIPE in self.info.split()[1:]

    @property
    def options(self) -> dict[str, str]:
        """``file="x"`` and the like in the info string."""
        return {name: quoted or plain for name, quoted, plain in _OPTION.findall(self.info)}

    @property
    def steps(self) -> list[Step]:
        """The commands of a console block; a line that ends in a backslash goes on in the next one."""
        steps: list[tuple[str, list[str]]] = []
        open_line = False
        for line in self.body.splitlines():
            if open_line:
                command, shown = steps.pop()
                steps.append((f"{command} {line.strip().removesuffix(chr(92)).strip()}", shown))
            elif line.startswith(PROMPT):
                steps.append((line[len(PROMPT) :].removesuffix("\\").strip(), []))
            elif line.strip():
                assert steps, f"{self.document}:{self.line}: output before any command"
                steps[-1][1].append(line)
            open_line = line.endswith("\\")
        return [Step(command, tuple(shown)) for command, shown in steps]


@dataclass(frozen=True)
class Document:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def blocks(self) -> list[Block]:
        return [
            Block(self.path, self.text.count("\n", 0, match.start()) + 1, match["info"], match["body"])
            for match in _FENCE.finditer(self.text)
        ]

    def tests(self, program: str) -> bool:
        """Whether a tested block of the document calls a program."""
        steps = (step for block in self.blocks if block.tested and block.console for step in block.steps)
        return any(words_of(step.command, program) for step in steps)

    @property
    def prose(self) -> str:
        return _FENCE.sub("", self.text)

    @property
    def links(self) -> list[str]:
        return [link for link in _LINK.findall(_SPAN.sub("", self.prose)) if "://" not in link]

    @property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as GitHub makes them."""
        return {
            re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in _HEADING.findall(self.prose)
        }

    def commands(self) -> Iterator[tuple[str, bool]]:
        """Return every command line of a shell block (True) and every inline one (False)."""
        for block in self.blocks:
            if block.language == "console":
                yield from ((step.command, True) for step in block.steps)
            elif block.language in {"bash", "sh"}:
                yield from ((line, True) for line in block.body.splitlines())
        yield from ((span, False) for span in _SPAN.findall(self.prose))


def documents() -> list[Document]:
    """Return every document of the repository."""
    return [
        Document(ROOT / "README.md"),
        Document(ROOT / "CONTRIBUTING.md"),
        *map(Document, sorted((ROOT / "docs").rglob("*.md"))),
    ]


def words_of(command: str, program: str) -> list[list[str]]:
    """Return the arguments of every call of ``program`` within one shell command line."""
    calls = re.findall(rf"(?:^|[|;&(] *){re.escape(program)} ([^|;&)]*)", command)
    return [shlex.split(call, comments=True) for call in calls]
