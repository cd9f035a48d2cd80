"""The thorax phantom as one Enhanced CT object: all slices as frames, geometry in the functional groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian

from node.dicom.write import DECIMALS, PhantomLabels, phantom_data_set, save
from node.domain.identity import derived_uid
from node.imaging.phantom import ThoraxPhantom

FRAME_TYPE = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
SINGLE_FRAME_KEYWORDS = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceLocation",
    "PixelSpacing",
    "SliceThickness",
    "ReconstructionDiameter",
    "GantryDetectorTilt",
    "KVP",
    "ConvolutionKernel",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "PatientOrientation",
    "AcquisitionDate",
    "AcquisitionTime",
    "PixelPaddingValue",
)
"""Attributes of a single-frame CT that the functional groups, or nothing, take the place of."""


def enhanced_phantom(phantom: ThoraxPhantom, labels: PhantomLabels) -> Dataset:
    """Return the phantom as one Enhanced CT Image Storage data set (PS3.3 A.38).

    Parameters
    ----------
    phantom : ThoraxPhantom
    labels : PhantomLabels
        Pixels are written unsigned, air in the place of padding, whatever it says of the sign.
    """
    single = [phantom_data_set(phantom, item, index, _unsigned(labels)) for index, item in enumerate(phantom)]
    data_set = single[0]
    frames = [_frame(item, index) for index, item in enumerate(single)]
    shared = _shared(data_set, phantom, labels)
    data_set.PixelData = b"".join(item.PixelData for item in single)
    for keyword in SINGLE_FRAME_KEYWORDS:
        if keyword in data_set:
            delattr(data_set, keyword)
    data_set.SOPClassUID = EnhancedCTImageStorage
    data_set.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    data_set.SOPInstanceUID = labels.sop_instance_uid(len(single))
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    data_set.NumberOfFrames = len(single)
    data_set.ImageType = FRAME_TYPE
    _enhanced_modules(data_set, labels)
    data_set.SharedFunctionalGroupsSequence = Sequence([shared])
    data_set.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return data_set


def write_enhanced_phantom(
    path: Path,
    phantom: ThoraxPhantom,
    labels: PhantomLabels | None = None,
    *,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
) -> Path:
    """Write the phantom as one Enhanced CT PS3.10 file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save(enhanced_phantom(phantom, labels or PhantomLabels()), path, transfer_syntax_uid)
    return path


def _unsigned(labels: PhantomLabels) -> PhantomLabels:
    return PhantomLabels(**{**vars(labels), "signed": False})


def _item(**attributes: object) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, Sequence([value]) if isinstance(value, Dataset) else value)
    return item


def _frame(single: Dataset, index: int) -> Dataset:
    """Return the per-frame functional groups of one slice (PS3.3 C.7.6.16.2)."""
    moment = single.AcquisitionDate + single.AcquisitionTime
    return _item(
        FrameContentSequence=_item(
            FrameAcquisitionNumber=1,
            FrameReferenceDateTime=moment,
            FrameAcquisitionDateTime=moment,
            FrameAcquisitionDuration=500.0,
            StackID="1",
            InStackPositionNumber=index + 1,
            DimensionIndexValues=[1, index + 1],
        ),
        PlanePositionSequence=_item(ImagePositionPatient=single.ImagePositionPatient),
    )


def _shared(single: Dataset, phantom: ThoraxPhantom, labels: PhantomLabels) -> Dataset:
    """Return the shared functional groups (PS3.3 C.7.6.16.2)."""
    return _item(
        PixelMeasuresSequence=_item(
            PixelSpacing=single.PixelSpacing,
            SliceThickness=single.SliceThickness,
            SpacingBetweenSlices=round(phantom.slice_spacing_mm, DECIMALS),
        ),
        PlaneOrientationSequence=_item(ImageOrientationPatient=single.ImageOrientationPatient),
        FrameAnatomySequence=_item(
            FrameLaterality="U",
            AnatomicRegionSequence=_item(
                CodeValue="816094009", CodingSchemeDesignator="SCT", CodeMeaning="Chest"
            ),
        ),
        PixelValueTransformationSequence=_item(
            RescaleSlope=single.RescaleSlope,
            RescaleIntercept=single.RescaleIntercept,
            RescaleType=single.RescaleType,
        ),
        FrameVOILUTSequence=_item(WindowCenter=single.WindowCenter, WindowWidth=single.WindowWidth),
        **_acquisition(single, labels),
    )


def _acquisition(single: Dataset, labels: PhantomLabels) -> dict[str, Dataset]:
    """Return the functional groups of Enhanced CT (PS3.3 C.8.15.3), the same for all frames."""
    return {
        "CTImageFrameTypeSequence": _item(
            FrameType=FRAME_TYPE,
            PixelPresentation="MONOCHROME",
            VolumetricProperties="VOLUME",
            VolumeBasedCalculationTechnique="NONE",
        ),
        "CTAcquisitionTypeSequence": _item(
            AcquisitionType="SEQUENCED", ConstantVolumeFlag="NO", FluoroscopyFlag="NO"
        ),
        "CTAcquisitionDetailsSequence": _item(
            RotationDirection="CW",
            RevolutionTime=0.5,
            SingleCollimationWidth=1.0,
            TotalCollimationWidth=16.0,
            TableHeight=0.0,
            GantryDetectorTilt=0,
            DataCollectionDiameter=500,
        ),
        "CTReconstructionSequence": _item(
            ReconstructionAlgorithm="FILTER_BACK_PROJ",
            ConvolutionKernel=single.ConvolutionKernel,
            ConvolutionKernelGroup="LUNG",
            ReconstructionDiameter=single.ReconstructionDiameter,
            ReconstructionPixelSpacing=[float(value) for value in single.PixelSpacing],
            ReconstructionAngle=360.0,
            ImageFilter="NONE",
        ),
        "CTExposureSequence": _item(
            ExposureTimeInms=500.0,
            XRayTubeCurrentInmA=100.0,
            ExposureInmAs=50.0,
            ExposureModulationType="NONE",
        ),
        "CTTableDynamicsSequence": _item(TableSpeed=10.0, TableFeedPerRotation=10.0, SpiralPitchFactor=1.0),
        "CTPositionSequence": _item(
            TablePosition=0.0,
            DataCollectionCenterPatient=[0.0, 0.0, 0.0],
            ReconstructionTargetCenterPatient=[0.0, 0.0, 0.0],
        ),
        "IrradiationEventIdentificationSequence": _item(
            IrradiationEventUID=derived_uid("phantom", labels.identity, "irradiation event")
        ),
        "CTXRayDetailsSequence": _item(
            KVP=single.KVP, FocalSpots=1.0, FilterType="NONE", FilterMaterial="NONE"
        ),
        "CTGeometrySequence": _item(
            DistanceSourceToDetector=1000.0, DistanceSourceToDataCollectionCenter=500.0
        ),
    }


def _enhanced_modules(data_set: Dataset, labels: PhantomLabels) -> None:
    """Write what an Enhanced CT object has beside the functional groups (PS3.3 A.38.1)."""
    organisation = derived_uid("phantom", labels.identity, "dimension organisation")
    data_set.AcquisitionDateTime = labels.study_date + labels.study_time
    data_set.AcquisitionDuration = 10.0
    data_set.ContentQualification = "PRODUCT"
    data_set.PixelPresentation = "MONOCHROME"
    data_set.VolumetricProperties = "VOLUME"
    data_set.VolumeBasedCalculationTechnique = "NONE"
    data_set.PresentationLUTShape = "IDENTITY"
    data_set.BurnedInAnnotation = "NO"
    data_set.LossyImageCompression = "00"
    data_set.DimensionOrganizationSequence = Sequence([_item(DimensionOrganizationUID=organisation)])
    data_set.DimensionIndexSequence = Sequence(
        _item(
            DimensionOrganizationUID=organisation,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=0x00209111,  # Frame Content Sequence
        )
        for pointer in (0x00209056, 0x00209057)  # Stack ID, In-Stack Position Number
    )
    data_set.AcquisitionContextSequence = Sequence([])
    data_set.InstanceNumber = 1
    frame = np.frombuffer(data_set.PixelData, dtype="<u2")
    data_set.SmallestImagePixelValue, data_set.LargestImagePixelValue = int(frame.min()), int(frame.max())
