"""Radiographs of the phantom as valid CR and DX objects: nobody's images."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from node.domain.identity import derived_uid
from node.domain.input_spec import (
    Equalise,
    FixedNormalise,
    InputKind,
    InputModality,
    InputSpec,
    PreparationSpec,
    SpecModel,
)
from node.domain.model import ModelStatus
from node.imaging.phantom import ThoraxPhantom
from node.infer.bundle import Bundle, load_bundle
from tests.model_folder import SIDE, TinyNet, tiny_spec, write_model_folder
from trainer.export.golden_slices import radiograph

BITS: Final = 12
HIGHEST: Final = (1 << BITS) - 1
STUDY: Final = derived_uid("radiograph", "study")

FIELDS: Final = {
    "SpecificCharacterSet": "ISO_IR 192",
    "ImageType": ["ORIGINAL", "PRIMARY"],
    "SOPClassUID": ComputedRadiographyImageStorage,
    "StudyDate": "20260304",
    "StudyTime": "101500",
    "AccessionNumber": "A-17",
    "Modality": "CR",
    "Manufacturer": "Plate Works",
    "ReferringPhysicianName": "",
    "StudyDescription": "Chest, bedside",
    "SeriesDescription": "Chest",
    "PatientName": "Phantom^Thorax",
    "PatientID": "PHANTOM",
    "PatientBirthDate": "19700101",
    "PatientSex": "O",
    "PatientAge": "056Y",
    "BodyPartExamined": "CHEST",
    "ImagerPixelSpacing": [1.5, 1.5],
    "ViewPosition": "PA",
}


@cache
def chest(patches: int = 8, seed: int = 7) -> NDArray[np.uint16]:
    """Return a frontal radiograph of a phantom in 12 bits, shape (256, 256); bright where dense."""
    grey = radiograph(ThoraxPhantom(seed=seed, patches=patches)).astype(np.uint32)
    made = (grey * HIGHEST // 255).astype(np.uint16)
    made.setflags(write=False)
    return made


def radiograph_object(
    values: NDArray[np.uint16] | None = None, *, number: int = 1, series: int = 1, **attributes: object
) -> Dataset:
    """Return a CR image, Explicit VR Little Endian.

    Parameters
    ----------
    values : uint16 array, shape (rows, columns), optional
        Stored values of 12 bits; the phantom's without.
    number : int
        InstanceNumber.
    series : int
        SeriesNumber.
    **attributes
        Attributes by keyword that differ; None deletes one.
    """
    values = chest() if values is None else values
    data_set = Dataset()
    fields: dict[str, object] = {
        **FIELDS,
        "SOPInstanceUID": derived_uid("radiograph", str(series), str(number)),
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": derived_uid("radiograph", "series", str(series)),
        "StudyID": "1",
        "SeriesNumber": series,
        "InstanceNumber": number,
        "PatientOrientation": ["L", "F"],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": values.shape[0],
        "Columns": values.shape[1],
        "BitsAllocated": 16,
        "BitsStored": BITS,
        "HighBit": BITS - 1,
        "PixelRepresentation": 0,
        "WindowCenter": HIGHEST / 2 + 0.5,
        "WindowWidth": HIGHEST + 1,
        "VOILUTFunction": "LINEAR",
        "PixelData": np.ascontiguousarray(values, dtype="<u2").tobytes(),
    }
    for keyword, value in {**fields, **attributes}.items():
        if value is not None:
            setattr(data_set, keyword, value)
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.file_meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    return data_set


def digital_object(values: NDArray[np.uint16] | None = None, **attributes: object) -> Dataset:
    """Return the same as a DX image for presentation."""
    return radiograph_object(
        values,
        **{
            "SOPClassUID": DigitalXRayImageStorageForPresentation,
            "Modality": "DX",
            "PresentationIntentType": "FOR PRESENTATION",
            "PresentationLUTShape": "IDENTITY",
            "RescaleIntercept": 0,
            "RescaleSlope": 1,
            "RescaleType": "US",
            **attributes,
        },
    )


def radiograph_spec(**changes: Any) -> InputSpec:
    """Return the specification of a tiny model that reads radiographs, with some of its parts changed."""
    return tiny_spec(
        **{
            "model": SpecModel(name="tiny-cxr", version=1, status=ModelStatus.UNTRAINED),
            "modality": InputModality.CR,
            "ct_selection": None,
            "input": PreparationSpec(
                kind=InputKind.HISTOGRAM_EQUALISED,
                size=(SIDE, SIDE),
                channels=1,
                window=None,
                lung_box=None,
                equalise=Equalise.NONE,
                blur=3,
                normalise=FixedNormalise(mean=(0.5,), std=(0.5,)),
            ),
            **changes,
        }
    )


def radiograph_bundle(folder: Path, **changes: Any) -> Bundle:
    """Write and load a tiny model: opacities of the phantom make it positive, without them it is negative."""
    golden = [radiograph(ThoraxPhantom(seed=7, patches=patches)) for patches in (0, 8)]
    net = TinyNet(gain=200.0, bias=26.44)
    return load_bundle(write_model_folder(folder, golden, net=net, spec=radiograph_spec(**changes)))
