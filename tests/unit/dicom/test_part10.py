"""Where the data set of a file begins."""

from __future__ import annotations

from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.dicom.part10 import data_set_offset, data_set_offset_within, part10_prefix
from node.domain.errors import DicomError

FILE = (
    part10_prefix(
        sop_class_uid=CTImageStorage, sop_instance_uid="1.2.3", transfer_syntax_uid=ExplicitVRLittleEndian
    )
    + b"\x08\0\x18\0UI\6\0"
    + b"1.2.3\0"
)
META = range(132, len(FILE) - 14)


def test_the_first_bytes_of_a_usual_file_say_where_its_data_set_begins() -> None:
    assert data_set_offset_within(FILE) == data_set_offset(BytesIO(FILE)) == len(FILE) - 14
    assert data_set_offset_within(FILE[132:]) is None
    assert data_set_offset_within(FILE[: len(FILE) - 14]) is None


@given(
    changes=st.dictionaries(st.sampled_from(META), st.integers(0, 255), max_size=3),
    length=st.integers(132, len(FILE)),
)
def test_whatever_the_first_bytes_are_they_say_the_same_or_nothing(
    changes: dict[int, int], length: int
) -> None:
    content = bytearray(FILE)
    for at, value in changes.items():
        content[at] = value
    found = data_set_offset_within(bytes(content[:length]))
    try:
        sought = data_set_offset(BytesIO(bytes(content)))
    except DicomError:
        return
    assert found in {None, sought}
