"""What a disk holds after a loss of power: computed from the system calls of those who wrote its files.

Of each file there are two: what the system shows to everybody, and what has reached the disk. A sync that
succeeds takes every page to the disk that was written since the last one. After one that fails, the system
takes those pages for written, which they are not, and no later sync of them fails: so Linux does, and of all
that it may do this is the worst (Rebello et al., Can Applications Recover
from fsync Failures?, USENIX ATC 2020).
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import Any

from tests.faults.system_calls import Call

WHOLE_BUFFERS = ("-xx", "-s", str(1 << 21))
RECORDED = "pwrite64,ftruncate,fsync,fdatasync,sendto"
"""Nothing else writes to an index, and nothing else answers."""
PAGE = 4096
FILES = ("index.sqlite", "index.sqlite-wal")
_PATH = re.compile(r"\d+<((?:\\x[0-9a-f]{2})+|[^>]*)>")
_PWRITE = re.compile(r'[^"]*"((?:\\x[0-9a-f]{2})*)", \d+, (\d+)\) += (\d+)')
_FTRUNCATE = re.compile(r"[^,]*, (\d+)\) += 0")
_SENT = re.compile(r'[^"]*"((?:\\x[0-9a-f]{2})*)"')


def recording(trace: Path) -> list[str]:
    """Return how the command line of a process begins that is recorded from its first call on.

    The process stays a child of whoever started it, and the record is whole when its standard output ends.
    """
    return ["strace", "-D", "-f", "-qq", "-y", *WHOLE_BUFFERS, "-o", str(trace), "-e", f"trace={RECORDED}"]


class _File:
    def __init__(self) -> None:
        self.seen = bytearray()
        self.disk = bytearray()
        self._dirty: set[int] = set()
        self._begun = 0
        self._syncs: dict[int, int] = {}
        self._on_the_way: deque[tuple[int, int, dict[int, bytes]]] = deque()

    def write(self, place: int, data: bytes) -> None:
        self.seen.extend(bytes(max(place + len(data) - len(self.seen), 0)))
        self.seen[place : place + len(data)] = data
        self._dirty.update(range(place // PAGE, (place + len(data) - 1) // PAGE + 1))

    def cut(self, size: int) -> None:
        del self.seen[size:]

    def begin_sync(self, task: int, *, succeeds: bool) -> None:
        pages = {page: bytes(self.seen[page * PAGE : (page + 1) * PAGE]) for page in self._dirty}
        self._dirty.clear()
        if succeeds:
            self._begun += 1
            self._syncs[task] = self._begun
            self._on_the_way.append((self._begun, len(self.seen), pages))

    def end_sync(self, task: int) -> None:
        """Let its pages arrive, and those of syncs that began before: it has waited for them as well."""
        last = self._syncs.pop(task, 0)
        while self._on_the_way and self._on_the_way[0][0] <= last:
            _number, size, pages = self._on_the_way.popleft()
            del self.disk[size:]
            self.disk.extend(bytes(size - len(self.disk)))
            for page, data in pages.items():
                self.disk[page * PAGE : page * PAGE + len(data)] = data


class Disk:
    """The disk under an index.

    Parameters
    ----------
    folder : Path
        Of the index, while nobody writes to it; all of it is taken for durable.
    """

    def __init__(self, folder: Path) -> None:
        self._files = {name: _File() for name in FILES}
        for name, file in self._files.items():
            if (folder / name).exists():
                file.write(0, (folder / name).read_bytes())
                file.begin_sync(0, succeeds=True)
                file.end_sync(0)

    def follow(self, calls: Iterable[Call]) -> Iterator[bytes]:
        """Let calls happen; yield what is sent, each at its moment."""
        moments = [(line, ends, call) for call in calls for ends, line in enumerate((call.begun, call.ended))]
        for _line, ends, call in sorted(moments, key=itemgetter(0, 1)):
            begins = not ends
            if call.name != "sendto":
                self._change(call, begins=begins)
            elif begins and (sent := _SENT.match(call.text)):
                yield _bytes(sent[1])

    def _change(self, call: Call, *, begins: bool) -> None:
        path = _PATH.match(call.text)
        name = "" if path is None else _text(path[1]).rpartition("/")[2]
        file = self._files.get(name)
        if file is None:
            return
        if call.name in {"fsync", "fdatasync"}:
            if begins:
                file.begin_sync(call.task, succeeds=call.text.endswith("= 0"))
            else:
                file.end_sync(call.task)
        elif not begins and call.name == "pwrite64" and (write := _PWRITE.match(call.text)):
            file.write(int(write[2]), _bytes(write[1])[: int(write[3])])
        elif not begins and call.name == "ftruncate" and (cut := _FTRUNCATE.match(call.text)):
            file.cut(int(cut[1]))

    def shows(self, folder: Path) -> bool:
        """Whether the files are what this takes them for: whether no call is missing."""
        return all(file.seen == (folder / name).read_bytes() for name, file in self._files.items())

    def rows_after_a_loss_of_power(self, query: str) -> list[tuple[Any, ...]]:
        """Return what an index says that has what was on the disk."""
        with tempfile.TemporaryDirectory() as folder:
            for name, file in self._files.items():
                (Path(folder) / name).write_bytes(file.disk)
            with closing(sqlite3.connect(Path(folder) / FILES[0])) as index:
                assert index.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                return index.execute(query).fetchall()


def _text(escaped: str) -> str:
    return _bytes(escaped).decode() if escaped.startswith("\\x") else escaped


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))
