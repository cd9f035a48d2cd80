"""A process beside the node that answers nothing, or stops to talk: it is given up, and nobody waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.dicom.process_apart import Lost, ProcessApart

START = """
import os, sys, time
answers = int(sys.argv[2])
os.write(answers, b"{}\\n")
os.read(int(sys.argv[1]), 4096)
"""
NESTED = "os.write(answers, b'[' * 4096)"
SILENT = "os.close(answers)"
NOT_UTF_8 = "os.write(answers, b'\\xff\\n')"
STAY = "\ntime.sleep(600)\n"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("node.dicom.process_apart.PACKAGES", tmp_path)
    monkeypatch.setattr("node.dicom.process_apart.ENDING_SECONDS", 0.1)
    return tmp_path


@pytest.mark.parametrize("act", [NESTED, SILENT, NOT_UTF_8], ids=["nested", "silent", "not UTF-8"])
def test_a_process_that_answers_nothing_is_lost(modules: Path, act: str) -> None:
    (modules / "odd.py").write_text(START + act + STAY)
    process = ProcessApart("odd", memory_bytes=1)
    try:
        with pytest.raises(Lost):
            process.ask(lambda _: b"{}\n", b"", lambda answer, _: answer, patience=30)
    finally:
        process.stop()
    assert process.pid is None
