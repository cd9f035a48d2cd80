"""The thorax phantom as valid CT objects: input for the demonstration and for tests, nobody's images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from node.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.domain.identity import derived_uid
from node.imaging.phantom import PhantomSlice, ThoraxPhantom

STORED_OFFSET = 1024
PADDING = -2000
"""Stored value outside of the reconstruction circle, as several scanners write it."""
DECIMALS = 6
"""Of lengths in mm: within the 16 characters of VR DS."""


@dataclass(frozen=True, kw_only=True)
class PhantomLabels:
    """What the headers of a phantom series say."""

    identity: str = "thorax phantom"
    """Any text: the UIDs derive from it, so the same text gives the same series."""
    patient_id: str = "PHANTOM"
    patient_name: str = "Phantom^Thorax"
    patient_birth_date: str = "19700101"
    patient_sex: str = "O"
    patient_age: str = "054Y"
    study_date: str = "20240102"
    study_time: str = "101500"
    study_id: str = "1"
    study_description: str = "Synthetic thorax"
    accession_number: str = "PHANTOM1"
    series_number: int = 2
    series_description: str = "Thorax phantom, synthetic, lung kernel"
    convolution_kernel: str = "B70f"
    body_part_examined: str = "CHEST"
    character_set: str = "ISO_IR 192"
    """SpecificCharacterSet in which the text is written."""
    signed: bool = True
    """PixelRepresentation 1 with padding; else unsigned values with air in the place of padding."""

    @property
    def study_instance_uid(self) -> str:
        """Return the StudyInstanceUID of the series."""
        return derived_uid("phantom", self.identity, "study")

    @property
    def series_instance_uid(self) -> str:
        """Return the SeriesInstanceUID; another series number is another series of the same study."""
        return derived_uid("phantom", self.identity, "series", str(self.series_number))

    def sop_instance_uid(self, index: int) -> str:
        """Return the SOPInstanceUID of a slice, numbered from 0."""
        return derived_uid("phantom", self.identity, "instance", str(self.series_number), str(index))


def phantom_data_sets(phantom: ThoraxPhantom, labels: PhantomLabels) -> Iterator[Dataset]:
    """Yield one CT Image Storage data set a slice, from the feet to the head, Explicit VR Little Endian.

    Parameters
    ----------
    phantom : ThoraxPhantom
    labels : PhantomLabels
    """
    for index, item in enumerate(phantom):
        yield phantom_data_set(phantom, item, index, labels)


def phantom_data_set(
    phantom: ThoraxPhantom, item: PhantomSlice, index: int, labels: PhantomLabels
) -> Dataset:
    """Return the data set of one slice.

    Parameters
    ----------
    phantom : ThoraxPhantom
        For its spacing.
    item : PhantomSlice
    index : int
        From 0, the lowest slice; decides SOPInstanceUID and InstanceNumber.
    labels : PhantomLabels
    """
    data_set = Dataset()
    _identify(data_set, labels)
    data_set.SOPClassUID = CTImageStorage
    data_set.SOPInstanceUID = labels.sop_instance_uid(index)
    data_set.InstanceNumber = index + 1
    _acquire(data_set, phantom, labels)
    row, column = item.plane.row_cosine, item.plane.column_cosine
    data_set.ImagePositionPatient = [round(value, DECIMALS) for value in item.plane.position]
    data_set.ImageOrientationPatient = [*row, *column]
    data_set.SliceLocation = round(item.plane.position[2], DECIMALS)
    _pixels(data_set, item, labels)
    data_set.file_meta = _file_meta(data_set)
    return data_set


def write_phantom(
    folder: Path,
    phantom: ThoraxPhantom,
    labels: PhantomLabels | None = None,
    *,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
) -> list[Path]:
    """Write a phantom series as PS3.10 files.

    Parameters
    ----------
    folder : Path
        Is made when it does not exist.
    phantom : ThoraxPhantom
    labels : PhantomLabels, optional
    transfer_syntax_uid : str
        Uncompressed, deflated, RLE, JPEG-LS lossless or JPEG 2000 lossless.

    Returns
    -------
    list of Path
        One file a slice, from the feet to the head.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labels = labels or PhantomLabels()
    paths = []
    for index, data_set in enumerate(phantom_data_sets(phantom, labels)):
        paths.append(folder / f"slice-{labels.series_number:03d}-{index:04d}.dcm")
        save(data_set, paths[-1], transfer_syntax_uid)
    return paths


def save(data_set: Dataset, path: Path, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> None:
    """Write a data set as a PS3.10 file in a transfer syntax.

    Parameters
    ----------
    data_set : Dataset
        Uncompressed, with ``file_meta``; it is compressed in place.
    path : Path
    transfer_syntax_uid : str
    """
    syntax = UID(transfer_syntax_uid)
    if syntax.is_encapsulated:
        data_set.compress(syntax, generate_instance_uid=False)
    else:
        data_set.file_meta.TransferSyntaxUID = syntax
        if not syntax.is_little_endian:
            words = np.frombuffer(data_set.PixelData, dtype="<u2")
            data_set.PixelData = words.astype(">u2").tobytes()
    data_set.save_as(path, enforce_file_format=True)


def _identify(data_set: Dataset, labels: PhantomLabels) -> None:
    """Write the Patient, General Study, Series and Equipment modules (PS3.3 C.7.1 to C.7.5)."""
    data_set.SpecificCharacterSet = labels.character_set
    data_set.PatientName = labels.patient_name
    data_set.PatientID = labels.patient_id
    data_set.PatientBirthDate = labels.patient_birth_date
    data_set.PatientSex = labels.patient_sex
    data_set.PatientAge = labels.patient_age
    data_set.PatientComments = "Synthetic image, nobody's"
    data_set.StudyInstanceUID = labels.study_instance_uid
    data_set.StudyDate = data_set.SeriesDate = data_set.ContentDate = labels.study_date
    data_set.StudyTime = data_set.SeriesTime = data_set.ContentTime = labels.study_time
    data_set.AcquisitionDate, data_set.AcquisitionTime = labels.study_date, labels.study_time
    data_set.StudyID = labels.study_id
    data_set.StudyDescription = labels.study_description
    data_set.AccessionNumber = labels.accession_number
    data_set.ReferringPhysicianName = ""
    data_set.SeriesInstanceUID = labels.series_instance_uid
    data_set.SeriesNumber = labels.series_number
    data_set.SeriesDescription = labels.series_description
    data_set.Modality = "CT"
    data_set.BodyPartExamined = labels.body_part_examined
    data_set.PatientPosition = "HFS"
    data_set.Manufacturer = "Groundglass"
    data_set.ManufacturerModelName = "Thorax phantom"
    data_set.DeviceSerialNumber = "0"
    data_set.SoftwareVersions = "1"


def _acquire(data_set: Dataset, phantom: ThoraxPhantom, labels: PhantomLabels) -> None:
    """Write the Frame of Reference, Image Plane and CT Image modules (PS3.3 C.7.4, C.7.6.2, C.8.2.1)."""
    data_set.FrameOfReferenceUID = derived_uid("phantom", labels.identity, "frame of reference")
    data_set.PositionReferenceIndicator = ""
    data_set.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data_set.AcquisitionNumber = 1
    data_set.PatientOrientation = ["L", "P"]
    data_set.PixelSpacing = [round(phantom.pixel_spacing_mm, DECIMALS)] * 2
    data_set.SliceThickness = round(phantom.slice_spacing_mm, DECIMALS)
    data_set.ReconstructionDiameter = phantom.field_of_view_mm
    data_set.GantryDetectorTilt = 0
    data_set.KVP = 120
    data_set.ConvolutionKernel = labels.convolution_kernel


def _pixels(data_set: Dataset, item: PhantomSlice, labels: PhantomLabels) -> None:
    """Write the Image Pixel and Modality LUT attributes (PS3.3 C.7.6.3, C.11.1)."""
    stored = item.hu.astype(np.int32) + STORED_OFFSET
    if labels.signed:
        stored[item.padding] = PADDING
        data_set.add_new("PixelPaddingValue", "SS", PADDING)
    data_set.SamplesPerPixel = 1
    data_set.PhotometricInterpretation = "MONOCHROME2"
    data_set.Rows, data_set.Columns = stored.shape
    data_set.BitsAllocated = 16
    data_set.BitsStored = 16 if labels.signed else 12
    data_set.HighBit = data_set.BitsStored - 1
    data_set.PixelRepresentation = int(labels.signed)
    data_set.RescaleIntercept = -STORED_OFFSET
    data_set.RescaleSlope = 1
    data_set.RescaleType = "HU"
    data_set.WindowCenter, data_set.WindowWidth = -600, 1500
    kind = "<i2" if labels.signed else "<u2"
    data_set.add_new("PixelData", "OW", stored.astype(kind).tobytes())


def _file_meta(data_set: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return meta
