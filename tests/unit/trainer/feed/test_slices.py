"""DICOM slices take the node's way: its decoding, its selection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from node.dicom.write import write_phantom
from node.domain.input_spec import InputSpec
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import hu_to_stored
from node.imaging.selection import dark_count, select
from trainer.cases.readers import read_cases
from trainer.errors import EmptyClass, PictureError
from trainer.feed.slices import slice_values
from trainer.judge.series import look_at_series

PHANTOM = ThoraxPhantom(seed=1, slices=20, rows=128)


def test_a_series_is_selected_and_prepared_as_by_the_node(spec: InputSpec, tmp_path: Path) -> None:
    write_phantom(tmp_path, PHANTOM)
    (tmp_path / "notes.txt").write_text("no DICOM", encoding="utf-8")
    cases = read_cases(f"dicom:{tmp_path}")
    assert len(cases) == 20
    (series,) = look_at_series(cases, spec)
    slices = [hu_to_stored(item.hu) for item in PHANTOM]
    kept = select([dark_count(v, spec.selection).count for v in slices], spec.selection).kept
    assert 0 < len(kept) < 20
    assert series.patient == cases[0].group
    assert len(series.selected) == len(kept)
    for case, index in zip(series.selected, kept, strict=True):
        np.testing.assert_array_equal(slice_values(case), slices[index])


def test_a_damaged_slice_is_named(spec: InputSpec, tmp_path: Path) -> None:
    write_phantom(tmp_path, ThoraxPhantom(seed=1, slices=3, rows=64))
    cases = read_cases(f"dicom:{tmp_path}")
    cases[1].image.write_bytes(b"gone")
    with pytest.raises(PictureError, match=cases[1].image.name):
        look_at_series(cases, spec)


def test_a_folder_without_ct_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.dcm").write_text("<html></html>", encoding="utf-8")
    with pytest.raises(EmptyClass, match="no CT image"):
        read_cases(f"dicom:{tmp_path}")
