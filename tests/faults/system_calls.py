"""What was written and synced before an answer left: system calls, as strace records them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SYNCING = "write,pwrite64,fsync,fdatasync,link,linkat,sendto"
STRACE = ("strace", "-f", "-qq", "-y", "-s", "8192", "-e", f"trace={SYNCING}")
"""Descriptors with their paths; of each buffer more than a page of the index."""
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
_UNFINISHED = " <unfinished ...>"


@dataclass(frozen=True, kw_only=True)
class Call:
    """One system call."""

    task: int
    """Number of the thread that made it."""
    name: str
    text: str
    """Arguments and what was returned."""
    begun: int
    """Line of the record at which it began."""
    ended: int
    """Line at which it had returned."""


def calls_of(trace: Path) -> list[Call]:
    """Return the calls of a record in the order of their ends."""
    found: list[Call] = []
    begun: dict[int, tuple[int, str]] = {}
    for number, line in enumerate(trace.read_text(errors="replace").splitlines()):
        match = _LINE.fullmatch(line)
        if match is None:
            continue  # a signal, or the end of a thread
        task, resumed, name, text = int(match[1]), match[2], match[3], match[4]
        if text.endswith(_UNFINISHED):
            begun[task] = (number, text.removesuffix(_UNFINISHED))
            continue
        start, former = begun.pop(task) if resumed else (number, "")
        found.append(Call(task=task, name=resumed or name, text=former + text, begun=start, ended=number))
    return found


def answer_to(uid: str) -> Callable[[Call], bool]:
    """Return whether a call sends the C-STORE-RSP of an instance: a P-DATA-TF PDU (PS3.8 table 9-22)."""
    ends = (f"{uid}\\0", f'{uid}"')  # padded to an even length (PS3.5 9.1), or the end of the PDU
    return lambda call: (
        call.name == "sendto" and '"\\4\\0' in call.text[:99] and any(end in call.text for end in ends)
    )


def answered_after_syncs(calls: Sequence[Call], key: str, answers: Callable[[Call], bool]) -> Call:
    """Check that file, name, folder and row of an object were durable when its answer left; return that.

    Parameters
    ----------
    calls : sequence of Call
    key : str
        Of the object.
    answers : callable
        Whether a call sends the answer to the object.
    """
    answer = min(filter(answers, calls), key=lambda call: call.begun)
    before = [call for call in calls if call.ended < answer.begun]
    named = _first(before, ("link", "linkat"), f"/{key}.dcm", 0)
    [temporary] = re.findall(r"[^/\"]+\.part", named.text)
    written = [call for call in before if call.name == "write" and temporary in call.text]
    assert written, "its bytes are in the record"
    _synced(before, temporary, written[-1].ended)
    _synced(before, rf"/objects/{key[:2]}>", named.ended)
    row = _first(before, ("pwrite64",), key, named.ended)
    assert "index.sqlite-wal" in row.text
    _synced(before, "index.sqlite-wal", row.ended)
    return answer


def _first(calls: Iterable[Call], names: Sequence[str], part: str, after: int) -> Call:
    found = [call for call in calls if call.name in names and part in call.text and call.begun >= after]
    assert found, f"no {names[0]} of {part}"
    return min(found, key=lambda call: call.begun)


def _synced(calls: Iterable[Call], path: str, after: int) -> None:
    """Check that a sync began after a line, and succeeded."""
    found = [
        call
        for call in calls
        if call.name in {"fsync", "fdatasync"}
        and path in call.text
        and call.begun > after
        and call.text.endswith("= 0")
    ]
    assert found, f"{path} was not synced"
