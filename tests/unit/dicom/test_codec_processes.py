"""Codecs in processes of their own: right, bounded, and gone without taking anything along."""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.dicom.codec_processes import CodecProcesses
from node.dicom.codec_wire import read_codestream, read_image, refusal
from node.dicom.codecs import InProcessCodecs
from node.dicom.pixel_layout import PixelLayout
from node.dicom.transfer_syntaxes import JPEG_2000_LOSSLESS, JPEG_LS_LOSSLESS, RLE_LOSSLESS
from node.domain.codecs import CodecLimits
from node.domain.errors import CodecsUnavailable, DecodeFailed, EncodeFailed
from tests.hostile_frames import SIDE, ends_its_process

JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
NOTHING = b"\xff\xd8\xff\xd9"


def layout(side: int = 16, samples: int = 1, bits: int = 16) -> PixelLayout:
    return PixelLayout(
        rows=side,
        columns=side,
        samples=samples,
        planar=False,
        bits_allocated=bits,
        bits_stored=bits,
        high_bit=bits - 1,
        signed=False,
        photometric_interpretation="MONOCHROME2" if samples == 1 else "RGB",
        number_of_frames=1,
    )


def words(how: PixelLayout) -> np.ndarray:
    shape = (how.rows, how.columns) if how.samples == 1 else (how.rows, how.columns, how.samples)
    rng = np.random.default_rng(5)
    return rng.integers(0, 200, shape).astype(f"<u{how.bits_allocated // 8}")


@pytest.fixture(scope="module")
def codecs() -> Iterator[CodecProcesses]:
    found = CodecProcesses(CodecLimits(processes=1, memory_bytes=512 << 20, seconds=1))
    yield found
    found.close()


def process_of(codecs: CodecProcesses) -> int:
    (process,) = codecs._free.queue
    return process.pid or 0


def works(codecs: CodecProcesses) -> bool:
    how = layout()
    codestream = codecs.encode(words(how).tobytes(), JPEG_LS_LOSSLESS, how)
    return np.array_equal(codecs.decode(codestream, JPEG_LS_LOSSLESS, how).words, words(how))


@pytest.mark.parametrize("syntax", [JPEG_LS_LOSSLESS, JPEG_2000_LOSSLESS, RLE_LOSSLESS])
@pytest.mark.parametrize("how", [layout(64), layout(64, 3, 8)], ids=["grey", "colour"])
def test_the_answers_are_those_of_the_codecs_themselves(
    codecs: CodecProcesses, syntax: str, how: PixelLayout
) -> None:
    codestream = codecs.encode(words(how).tobytes(), syntax, how)
    assert codestream == InProcessCodecs().encode(words(how).tobytes(), syntax, how)
    apart, here = (one.decode(codestream, syntax, how) for one in (codecs, InProcessCodecs()))
    np.testing.assert_array_equal(apart.words, here.words)
    assert apart.words.dtype == here.words.dtype
    assert apart.photometric_interpretation == here.photometric_interpretation


def test_a_frame_that_ends_its_process_costs_that_frame_alone(codecs: CodecProcesses) -> None:
    with pytest.raises(DecodeFailed, match="SIGSEGV"):
        codecs.decode(ends_its_process(), JPEG_LOSSLESS, layout(SIDE))
    assert works(codecs)


def test_a_bomb_finds_no_memory(codecs: CodecProcesses) -> None:
    segment = b"\x81\0" * (1 << 18)  # each pair of bytes becomes 128 zeros (PS3.5 G.3.1)
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + segment
    with pytest.raises(DecodeFailed, match=r"memory|Memory|llocate"):
        codecs.decode(frame, RLE_LOSSLESS, layout(16384, bits=16))
    assert works(codecs)


def test_a_process_that_does_not_answer_is_ended(codecs: CodecProcesses) -> None:
    assert works(codecs)
    stopped = process_of(codecs)
    os.kill(stopped, signal.SIGSTOP)
    with pytest.raises(DecodeFailed, match="more than 2 s"):
        codecs.decode(NOTHING, JPEG_LOSSLESS, layout())
    assert not Path(f"/proc/{stopped}").exists()
    assert works(codecs)


@pytest.mark.long
def test_a_frame_that_takes_too_long_is_ended(codecs: CodecProcesses) -> None:
    how = layout(4096)
    noise = np.random.default_rng(1).integers(0, 1 << 16, (4096, 4096), dtype=np.uint16)
    with pytest.raises(EncodeFailed, match=r"processor time|more than 2 s"):
        codecs.encode(noise.tobytes(), JPEG_2000_LOSSLESS, how)
    assert works(codecs)


def test_a_process_that_the_system_ends_is_replaced(codecs: CodecProcesses) -> None:
    assert works(codecs)
    os.kill(process_of(codecs), signal.SIGKILL)
    assert works(codecs)


def test_many_threads_share_the_processes(codecs: CodecProcesses) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: works(codecs), range(40)))


def test_refusals_come_with_their_reason(codecs: CodecProcesses) -> None:
    with pytest.raises(DecodeFailed, match="cannot be decoded"):
        codecs.decode(NOTHING, JPEG_LOSSLESS, layout())
    with pytest.raises(EncodeFailed, match="without loss"):
        codecs.encode(bytes(2 * 4 * 4), JPEG_2000_LOSSLESS, layout(4))  # too small for its resolutions
    assert works(codecs)


def test_a_refusal_costs_neither_the_process_nor_memory(codecs: CodecProcesses) -> None:
    assert works(codecs)
    process = process_of(codecs)
    strange = dataclasses.replace(layout(), photometric_interpretation="\U0001f600" * 900)
    with pytest.raises(DecodeFailed):
        codecs.decode(NOTHING, JPEG_LOSSLESS, strange)
    with pytest.raises(DecodeFailed):
        codecs.decode(b"\xff" * (1 << 24), RLE_LOSSLESS, layout())
    (held,) = codecs._free.queue
    assert process_of(codecs) == process
    assert held._running is not None
    assert os.fstat(held._running.shared).st_size <= 1 << 23


def test_a_process_sees_nothing_of_the_environment_and_ends_with_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GROUNDGLASS_SECRET", "token")
    codecs = CodecProcesses(CodecLimits(processes=1))
    assert works(codecs)
    process = process_of(codecs)
    assert b"token" not in Path(f"/proc/{process}/environ").read_bytes()
    codecs.close()
    assert not Path(f"/proc/{process}").exists()
    codecs.close()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/nonexistent/python")
        with pytest.raises(CodecsUnavailable):
            codecs.decode(NOTHING, JPEG_LOSSLESS, layout())


def test_a_busy_process_does_not_survive_a_node_that_is_killed() -> None:
    node = (
        "import time; from node.dicom.process_apart import start;"
        "one = start('node.dicom.codec_worker', 1 << 30);"
        "print(one.child.pid, one.requests, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", node], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        number, requests = map(int, parent.stdout.readline().split())
        process = os.pidfd_open(number)
        # One that works on a frame does not look for requests, and so not for their end.
        with Path(f"/proc/{parent.pid}/fd/{requests}").open("wb"):
            parent.kill()
            gone = select.select([process], [], [], 10)[0]
            os.close(process)
        assert gone


ANSWERS = st.dictionaries(
    st.sampled_from(["words", "colours", "size", "refused"]),
    st.one_of(st.none(), st.text(max_size=20), st.integers(), st.sampled_from(["<u2", "|u1", "RGB", 512])),
)


@settings(max_examples=100, deadline=None)
@given(answer=ANSWERS)
def test_what_a_process_says_is_not_believed(answer: dict[str, object]) -> None:
    file = os.memfd_create("pixels")
    try:
        os.write(file, bytes(100))
        with pytest.raises(DecodeFailed):
            read_image(answer, file, layout())
        if not 0 < int(answer.get("size") or 0 if isinstance(answer.get("size"), int) else 0) <= 100:
            with pytest.raises(EncodeFailed):
                read_codestream(answer, file)
    finally:
        os.close(file)
    assert len(refusal({"refused": "x\n" * 5000}) or "") <= 500
