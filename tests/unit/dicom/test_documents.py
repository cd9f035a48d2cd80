"""Metadata documents made apart from the node: the same, bounded, and gone without taking anything along."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.dicom.documents import (
    DocumentProcess,
    Unreadable,
    names_read,
    names_written,
    packed,
    result_written,
    results_read,
    unpacked,
)
from node.dicom.process_apart import Lost
from node.dicom.write import write_phantom
from node.domain.errors import ProcessUnavailable
from node.imaging.phantom import ThoraxPhantom

RESULTS = st.lists(
    st.one_of(st.binary(max_size=40), st.builds(Unreadable, reason=st.text("abc é", max_size=10))), min_size=1
)


@pytest.fixture(scope="module")
def process() -> Iterator[DocumentProcess]:
    found = DocumentProcess()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_phantom(tmp_path_factory.mktemp("ph\u00e4ntom"), ThoraxPhantom(slices=3, rows=16))


def test_documents_are_those_of_the_node_itself(process: DocumentProcess, paths: list[Path]) -> None:
    assert process.packed(paths) == [packed(path) for path in paths]
    assert b'"00080018"' in unpacked(packed(paths[0]))
    assert process.packed([]) == []


def test_what_cannot_be_read_costs_itself_alone(
    process: DocumentProcess, paths: list[Path], tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"no object")
    first, second, third = process.packed([damaged, paths[0], tmp_path / "absent"])
    assert isinstance(first, Unreadable)
    assert second == packed(paths[0])
    assert isinstance(third, Unreadable)
    assert "No such file" in third.reason


def test_a_file_that_ends_its_process_costs_itself_alone(
    process: DocumentProcess, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = tmp_path / "never"
    os.mkfifo(never)  # its reading blocks for ever
    monkeypatch.setattr("node.dicom.documents.PATIENCE", 1)
    first, second = process.packed([never, paths[0]])
    assert isinstance(first, Unreadable)
    assert "more than 1 s" in first.reason
    assert second == packed(paths[0])


def test_a_process_that_the_system_ends_is_replaced(process: DocumentProcess, paths: list[Path]) -> None:
    process.packed(paths)
    before = process.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    assert process.packed(paths) == [packed(path) for path in paths]
    assert process.pid != before


def test_the_process_goes_behind_everything_else(process: DocumentProcess, paths: list[Path]) -> None:
    process.packed(paths)
    assert process.pid is not None
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
    assert os.getsid(process.pid) == os.getsid(0)
    assert os.getpgid(process.pid) != os.getpgid(0)


def test_where_no_process_can_be_started_nobody_is_blamed(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    with pytest.raises(ProcessUnavailable):
        DocumentProcess().packed(paths)


@given(names=st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1), min_size=1))
def test_names_arrive_as_they_are(names: list[str]) -> None:
    paths = list(map(Path, names))
    assert names_read(names_written(paths)) == paths


@settings(max_examples=100, deadline=None)
@given(results=RESULTS, cut=st.integers(0, 30), count=st.integers(1, 8))
def test_only_what_was_asked_for_is_taken(results: list[bytes | Unreadable], cut: int, count: int) -> None:
    data = b"".join(map(result_written, results))
    data = data[: max(1, len(data) - cut)]
    file = os.memfd_create("shared")
    try:
        os.write(file, data)
        answer = {"size": len(data)}
        whole = count <= len(results) and data == b"".join(map(result_written, results[:count]))
        if whole:  # what was cut away may have been all of the last ones
            assert results_read(answer, file, count=count) == results[:count]
        else:
            with pytest.raises(Lost):
                results_read(answer, file, count=count)
        for size in (None, "9", 0, -1, 1 << 40, len(data) + 1):
            with pytest.raises(Lost):
                results_read({"size": size}, file, count=len(results))
    finally:
        os.close(file)
