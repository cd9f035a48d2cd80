"""Damaged frames with sound headers: whatever a codec does on one, the next one is decoded."""

from __future__ import annotations

import copy
import random
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from node.dicom.codec_processes import CodecProcesses
from node.dicom.codestream import frame_size
from node.dicom.pixel_file import PixelFile
from node.dicom.transfer_syntaxes import JPEG_2000_LOSSLESS, JPEG_LS_LOSSLESS, RLE_LOSSLESS
from node.dicom.write import PhantomLabels, phantom_data_set, save
from node.domain.codecs import CodecLimits
from node.domain.errors import DecodeFailed
from node.imaging.phantom import ThoraxPhantom

FRAMES = 300
"""In each transfer syntax."""
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
SYNTAXES = (JPEG_LOSSLESS, JPEG_LS_LOSSLESS, JPEG_2000_LOSSLESS, RLE_LOSSLESS)


def image(path: Path, syntax: str) -> PixelFile:
    phantom = ThoraxPhantom(slices=4, rows=64)
    data_set = phantom_data_set(phantom, phantom.slice_at(2), 2, PhantomLabels(signed=False))
    if syntax == JPEG_LOSSLESS:
        save(copy.deepcopy(data_set), path)
        subprocess.run(["dcmcjpeg", "+e1", path, path], check=True)
    else:
        save(data_set, path, syntax)
    return PixelFile(path)


def damaged(frame: bytes, chance: random.Random) -> bytes:
    """Return a frame with some bytes changed, most of them near its beginning, or with its end cut off."""
    data = bytearray(frame)
    for _ in range(chance.choice([1, 1, 2, 8])):
        data[chance.randrange(chance.choice([60, 200, len(data)]))] = chance.randrange(256)
    return bytes(data[: chance.randrange(len(data))] if chance.random() < 0.1 else data)


def is_let_through(frame: bytes, syntax: str) -> bool:
    if syntax == RLE_LOSSLESS:
        return True
    size = frame_size(frame)
    return size is not None and (size.rows, size.columns, size.samples) == (64, 64, 1)


@pytest.mark.faults
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_codec_answers_or_is_replaced(tmp_path: Path, syntax: str) -> None:
    file = image(tmp_path / "a.dcm", syntax)
    sound, words = file.codestream(1), file.raw(1)
    chance = random.Random(4)
    codecs = CodecProcesses(CodecLimits(processes=1, seconds=1))
    ends: Counter[str] = Counter()
    while ends.total() < FRAMES:
        frame = damaged(sound, chance)
        if not is_let_through(frame, syntax):
            continue
        try:
            codecs.decode(frame, syntax, file.layout)
            ends["decoded"] += 1
        except DecodeFailed as error:
            ends[str(error) if "its codec" in str(error) else "refused"] += 1
    assert ends["decoded"], ends
    assert ends["refused"], ends
    np.testing.assert_array_equal(codecs.decode(sound, syntax, file.layout).words, words)
    codecs.close()
