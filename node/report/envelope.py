"""The modules of every result object: patient, study, series, equipment, SOP common (PS3.3 C.7, C.12)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Final

import highdicom as hd
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from node.dicom.part10 import part10_prefix
from node.domain.model import ModelIdentity
from node.domain.result import ResultKind
from node.domain.wording import Wording
from node.report import codes, content, inherited, text
from node.report.identity import (
    SERIES_NUMBERS,
    SOP_CLASSES,
    algorithm_version,
    device_uid,
    instance_number,
    result_series_uid,
    result_uid,
)
from node.report.language import put_meanings
from node.report.request import BuiltObject, Producer, ReportRequest

EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1.99"
LONGEST_SHORT_STRING: Final = 16  # PS3.5 table 6.2-1, VR SH
UNICODE: Final = "ISO_IR 192"  # PS3.3 C.12.1.1.2: UTF-8


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """One object before its content is added."""

    kind: ResultKind
    index: int
    data_set: Dataset
    made_at: datetime
    """In the zone of the source's dates and times."""
    words: Wording

    def seal(self) -> BuiltObject:
        """Word the codes, choose the character set, and encode it."""
        return self._built(EXPLICIT_VR_LITTLE_ENDIAN, (self._encoded(),))

    def seal_deflated(self, deflated: Callable[[bytes], Iterable[bytes]]) -> BuiltObject:
        """Do the same and deflate it.

        Parameters
        ----------
        deflated : callable
            Takes the encoded data set and gives it deflated (PS3.5 A.5), piece by piece, with what it adds.
        """
        return self._built(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, deflated(self._encoded()))

    def _encoded(self) -> bytes:
        """Return the data set in Explicit VR Little Endian, as it is sent."""
        put_meanings(self.data_set, self.words)
        if not inherited.all_ascii(self.data_set):
            self.data_set.SpecificCharacterSet = UNICODE
        stream = DicomBytesIO()
        stream.is_little_endian = True
        stream.is_implicit_VR = False
        write_dataset(stream, self.data_set)
        return stream.getvalue()

    def _built(self, transfer_syntax_uid: str, data_set: Iterable[bytes]) -> BuiltObject:
        sop_class_uid, sop_instance_uid = map(str, (self.data_set.SOPClassUID, self.data_set.SOPInstanceUID))
        prefix = part10_prefix(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
        )
        return BuiltObject(
            kind=self.kind,
            index=self.index,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            series_instance_uid=str(self.data_set.SeriesInstanceUID),
            transfer_syntax_uid=transfer_syntax_uid,
            data=b"".join(chain((prefix,), data_set)),
        )


@dataclass(frozen=True, kw_only=True)
class Making:
    """By whom, for what and when an object is made."""

    model: ModelIdentity
    producer: Producer
    version: int
    """Of the result set, from 1; of a rejection, the one that it withdraws."""
    made_at: datetime
    """Aware."""

    @classmethod
    def of(cls, request: ReportRequest) -> Making:
        """Return that of a result set."""
        return cls(
            model=request.finding.model,
            producer=request.producer,
            version=request.version,
            made_at=request.made_at,
        )


def envelope(
    request: ReportRequest,
    donor: Dataset,
    *,
    kind: ResultKind,
    index: int,
    frame_of_reference_uid: str = "",
) -> Envelope:
    """Return an object of a result set with its general modules.

    Parameters
    ----------
    request : ReportRequest
    donor : pydicom.dataset.Dataset
        The source instance whose patient and study attributes are taken over.
    kind : ResultKind
    index : int
        As in `node.domain.result.ResultObject`.
    frame_of_reference_uid : str
        Of an image that has a place in a volume.
    """
    frame = general(
        Making.of(request),
        donor,
        kind=kind,
        index=index,
        recipe=request.recipe,
        description=text.series_description(request.producer.wording, kind, request.finding),
    )
    if frame_of_reference_uid:
        frame.data_set.FrameOfReferenceUID = frame_of_reference_uid
        frame.data_set.SeriesInstanceUID = result_series_uid(
            str(frame.data_set.StudyInstanceUID), request.finding.model.name, kind, frame_of_reference_uid
        )
    equipment = frame.data_set.ContributingEquipmentSequence
    frame.data_set.ContributingEquipmentSequence = [
        *_scanner(request.producer.wording, donor),
        *equipment,
    ]
    return frame


def general(
    making: Making, donor: Dataset, *, kind: ResultKind, index: int, recipe: str, description: str
) -> Envelope:
    """Return an object with its general modules; of all equipment only the algorithm contributed.

    Parameters
    ----------
    making : Making
    donor : pydicom.dataset.Dataset
        The instance whose patient and study attributes are taken over.
    kind : ResultKind
    index : int
    recipe : str
        Decides the SOPInstanceUID.
    description : str
        SeriesDescription (0008,103E), at most 64 characters.
    """
    made_at = inherited.local_time(donor, making.made_at)
    data_set = inherited.inherit(donor)
    series = result_series_uid(str(data_set.StudyInstanceUID), making.model.name, kind)
    data_set.SOPClassUID = SOP_CLASSES[kind]
    data_set.SOPInstanceUID = result_uid(series, kind, index, recipe)
    data_set.SeriesInstanceUID = series
    data_set.SeriesNumber = SERIES_NUMBERS[kind]
    data_set.SeriesDescription = description
    data_set.InstanceNumber = instance_number(kind, making.version, index)
    data_set.ContentDate = data_set.InstanceCreationDate = made_at.strftime("%Y%m%d")
    data_set.ContentTime = data_set.InstanceCreationTime = made_at.strftime("%H%M%S.%f")
    if inherited.offset(donor) is not None:
        data_set.TimezoneOffsetFromUTC = made_at.strftime("%z")
    producer = making.producer
    data_set.Manufacturer = content.name(producer.manufacturer)
    data_set.ManufacturerModelName = text.SERVICE
    data_set.DeviceSerialNumber = content.name(producer.serial_number)
    data_set.SoftwareVersions = content.name(producer.software_version)
    data_set.StationName = content.name(producer.station_ae_title)[:LONGEST_SHORT_STRING]
    data_set.ContributingEquipmentSequence = [_algorithm(making, made_at)]
    return Envelope(kind=kind, index=index, data_set=data_set, made_at=made_at, words=producer.wording)


def _scanner(words: Wording, donor: Dataset) -> list[Dataset]:
    """Contributing equipment: what acquired the source images; left out where it is not named."""
    item = Dataset()
    inherited.copy(donor, item, inherited.SCANNER)
    if not item.get("Manufacturer"):  # Type 1
        return []
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.ACQUISITION_EQUIPMENT)]
    item.ContributionDescription = words("notice.acquisition")
    return [item]


def _algorithm(making: Making, made_at: datetime) -> Dataset:
    """Contributing equipment: the algorithm, by the same values as TID 1004 and TID 4019."""
    model, producer = making.model, making.producer
    item = hd.ContributingEquipment(
        content.name(producer.manufacturer),
        codes.PROCESSING_EQUIPMENT,
        manufacturer_model_name=content.name(model.name),
        software_versions=content.name(algorithm_version(model)),
        device_serial_number=content.name(producer.serial_number),
        station_name=content.name(producer.station_ae_title)[:LONGEST_SHORT_STRING],
        contribution_datetime=made_at.strftime("%Y%m%d%H%M%S.%f"),
        contribution_description=text.contribution(
            producer.wording, model, content.name(producer.software_version)
        ),
    )
    item.DeviceUID = device_uid(model)
    return item
