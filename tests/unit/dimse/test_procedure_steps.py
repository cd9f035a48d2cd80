"""What is read of procedure steps and notifications, of whatever bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from node.dimse.procedure_steps import decoded, listed_by_notice, listed_by_step, step_event
from node.domain.announcement import AnnouncedInstance, StepEvent
from node.domain.errors import AnnouncementMalformed

pytestmark = pytest.mark.filterwarnings("ignore")  # the library warns of what it reads; the node refuses it


def encoded(data_set: Dataset, *, implicit: bool) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, implicit
    write_dataset(buffer, data_set)
    return buffer.getvalue()


def step() -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2", "1.2.3.4"
    series = Dataset()
    series.SeriesInstanceUID = "1.2.3"
    series.ReferencedImageSequence = [reference, reference]
    series.ReferencedNonImageCompositeSOPInstanceSequence = []
    attributes = Dataset()
    attributes.PerformedProcedureStepStatus = "COMPLETED"
    attributes.PerformedSeriesSequence = [series]
    return attributes


@pytest.mark.parametrize("implicit", [True, False])
def test_a_step_is_read_in_both_encodings(implicit):
    attributes = decoded(encoded(step(), implicit=implicit), implicit=implicit)
    assert step_event(attributes) is StepEvent.COMPLETE
    assert listed_by_step(attributes) == (
        AnnouncedInstance(series_instance_uid="1.2.3", sop_instance_uid="1.2.3.4"),
    )
    assert listed_by_notice(attributes) == ()
    assert listed_by_step(decoded(b"", implicit=implicit)) is None
    emptied = step()
    emptied.PerformedSeriesSequence = []
    assert listed_by_step(decoded(encoded(emptied, implicit=implicit), implicit=implicit)) == ()


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_read_or_refused(content, implicit):
    try:
        attributes = decoded(content, implicit=implicit)
        step_event(attributes)
        listed_by_step(attributes)
        listed_by_notice(attributes)
    except AnnouncementMalformed:
        pass


@settings(max_examples=50)
@given(st.data())
def test_a_damaged_step_is_read_or_refused(data):
    content = bytearray(encoded(step(), implicit=False))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        listed = listed_by_step(decoded(bytes(content), implicit=False))
    except AnnouncementMalformed:
        return
    assert listed is None or all(isinstance(item, AnnouncedInstance) for item in listed)
