"""The attributes the node reads, by keyword (PS3.6)."""

from __future__ import annotations

from enum import IntEnum


class Tag(IntEnum):
    """Tags under their keywords."""

    ImageType = 0x00080008
    SOPClassUID = 0x00080016
    SOPInstanceUID = 0x00080018
    StudyDate = 0x00080020
    StudyTime = 0x00080030
    AccessionNumber = 0x00080050
    Modality = 0x00080060
    Manufacturer = 0x00080070
    ReferringPhysicianName = 0x00080090
    TimezoneOffsetFromUTC = 0x00080201
    StationName = 0x00081010
    StudyDescription = 0x00081030
    SeriesDescription = 0x0008103E
    PatientName = 0x00100010
    PatientID = 0x00100020
    IssuerOfPatientID = 0x00100021
    IssuerOfPatientIDQualifiersSequence = 0x00100024
    PatientBirthDate = 0x00100030
    PatientSex = 0x00100040
    PatientAge = 0x00101010
    BodyPartExamined = 0x00180015
    SliceThickness = 0x00180050
    DeviceUID = 0x00181002
    GantryDetectorTilt = 0x00181120
    ConvolutionKernel = 0x00181210
    CTAcquisitionDetailsSequence = 0x00189304
    CTReconstructionSequence = 0x00189314
    ContributingEquipmentSequence = 0x0018A001
    StudyInstanceUID = 0x0020000D
    SeriesInstanceUID = 0x0020000E
    StudyID = 0x00200010
    SeriesNumber = 0x00200011
    AcquisitionNumber = 0x00200012
    InstanceNumber = 0x00200013
    ImagePositionPatient = 0x00200032
    ImageOrientationPatient = 0x00200037
    FrameOfReferenceUID = 0x00200052
    PlanePositionSequence = 0x00209113
    PlaneOrientationSequence = 0x00209116
    SamplesPerPixel = 0x00280002
    PhotometricInterpretation = 0x00280004
    PlanarConfiguration = 0x00280006
    NumberOfFrames = 0x00280008
    Rows = 0x00280010
    Columns = 0x00280011
    PixelSpacing = 0x00280030
    BitsAllocated = 0x00280100
    BitsStored = 0x00280101
    HighBit = 0x00280102
    PixelRepresentation = 0x00280103
    PixelPaddingValue = 0x00280120
    PixelPaddingRangeLimit = 0x00280121
    RescaleIntercept = 0x00281052
    RescaleSlope = 0x00281053
    RescaleType = 0x00281054
    PixelMeasuresSequence = 0x00289110
    PixelValueTransformationSequence = 0x00289145
    LocalNamespaceEntityID = 0x00400031
    UniversalEntityID = 0x00400032
    SharedFunctionalGroupsSequence = 0x52009229
    PerFrameFunctionalGroupsSequence = 0x52009230


FUNCTIONAL_GROUPS = frozenset(
    {
        Tag.SharedFunctionalGroupsSequence,
        Tag.PerFrameFunctionalGroupsSequence,
        Tag.PlanePositionSequence,
        Tag.PlaneOrientationSequence,
        Tag.PixelMeasuresSequence,
        Tag.PixelValueTransformationSequence,
        Tag.CTReconstructionSequence,
        Tag.CTAcquisitionDetailsSequence,
    }
)
"""Sequences of a multi-frame object that are entered (PS3.3 C.7.6.16)."""
