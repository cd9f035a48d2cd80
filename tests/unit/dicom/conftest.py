"""Phantom objects to read, spoil and compare."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from node.dicom.write import PhantomLabels, phantom_data_set, save
from node.imaging.phantom import ThoraxPhantom

SMALL = ThoraxPhantom(slices=8, rows=64)


@pytest.fixture(scope="session")
def phantom() -> ThoraxPhantom:
    return SMALL


@pytest.fixture
def make_data_set() -> Callable[..., Dataset]:
    """Return a function that gives the data set of one slice; keywords set attributes, None deletes."""

    def make(index: int = 3, *, signed: bool = True, **attributes: object) -> Dataset:
        data_set = phantom_data_set(SMALL, SMALL.slice_at(index), index, PhantomLabels(signed=signed))
        for keyword, value in attributes.items():
            if value is None:
                delattr(data_set, keyword)
            else:
                setattr(data_set, keyword, value)
        return data_set

    return make


@pytest.fixture
def make_file(tmp_path: Path, make_data_set: Callable[..., Dataset]) -> Callable[..., Path]:
    """Return a function that writes such a data set as a PS3.10 file."""

    def make(
        name: str = "a.dcm", *, transfer_syntax_uid: str = "1.2.840.10008.1.2.1", **keywords: object
    ) -> Path:
        path = tmp_path / name
        save(make_data_set(**keywords), path, transfer_syntax_uid)
        return path

    return make


@pytest.fixture
def change(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that copies a file with other attributes."""

    def changed(source: Path, name: str = "changed.dcm", **attributes: object) -> Path:
        data_set = pydicom.dcmread(source)
        for keyword, value in attributes.items():
            setattr(data_set, keyword, value)
        path = tmp_path / name
        data_set.save_as(path)
        return path

    return changed


@pytest.fixture
def encoded() -> Callable[[Dataset], bytes]:
    """Return a function that gives the bytes of a PS3.10 file."""

    def encode(data_set: Dataset) -> bytes:
        stream = io.BytesIO()
        data_set.save_as(stream, enforce_file_format=True)
        return stream.getvalue()

    return encode
