"""From one slice or picture to the network's input, in three steps that the trainer's feed shares.

``windowed`` gives the picture, ``frame`` crops it, ``to_tensor`` resizes and normalises. ``prepare_slice``
and ``prepare_picture`` run them in a row; augmentation in training stands between the last two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from node.domain.input_spec import (
    Equalise,
    FixedNormalise,
    InputKind,
    InputModality,
    InputSpec,
    NoNormalise,
    PerImageNormalise,
    PreparationSpec,
    WindowSpec,
)
from node.imaging.arrays import Box, Grey, Hounsfield, Real, Stored
from node.imaging.lungs import lung_box

HIGHEST_STORED = 4095
"""12 bits, the range of the scanner that the rule comes from (Rahimzadeh et al. 2021, section 2.1)."""


HIGHEST_GREY = 255


class Framing(StrEnum):
    """What the crop shows."""

    LUNG_BOX = "lung-box"
    FULL_FRAME = "full-frame"
    """By specification, or because no lung was seen."""
    SQUARE = "square"
    """The whole slice, padded with air to a square."""


@dataclass(frozen=True, kw_only=True)
class Framed:
    """A cropped image and where it lies."""

    image: Grey | Stored
    """Array, shape (rows, columns)."""
    box: Box
    """Its place in the slice, in pixels; reaches outside of the slice where air was padded."""
    framing: Framing


@dataclass(frozen=True, kw_only=True)
class PreparedSlice:
    """The network's input for one slice."""

    tensor: Real
    """Array, shape (channels, rows, columns)."""
    box: Box
    """Part of the slice that the tensor shows, in pixels of the slice."""
    framing: Framing


def hu_to_stored(hu: Hounsfield) -> Stored:
    """Return HU + 1024, clipped to 0..4095.

    Parameters
    ----------
    hu : int16 or int32 array, any shape
        Padded pixels already set to -1024 HU.

    Returns
    -------
    uint16 array, same shape
    """
    return np.clip(np.rint(hu).astype(np.int32) + 1024, 0, HIGHEST_STORED).astype(np.uint16)


def windowed_by(v: Stored, window: WindowSpec) -> Grey:
    """Return a slice in a linear window, 8 bit (PS3.3 C.11.2.1.3.2, LINEAR_EXACT).

    Parameters
    ----------
    v : uint16 array, shape (rows, columns)
        HU + 1024, clipped to 0..4095.
    window : WindowSpec

    Returns
    -------
    uint8 array, same shape
    """
    hu = np.arange(HIGHEST_STORED + 1, dtype=np.float64) - 1024
    levels = np.clip(((hu - window.center) / window.width + 0.5) * 255, 0, 255)
    return np.rint(levels).astype(np.uint8)[v]


def windowed(v: Stored, spec: InputSpec) -> Grey:
    """Return a slice in the model's window, 8 bit.

    Raises
    ------
    ValueError
        The model has no window: it takes the values as they are.
    """
    if spec.input.window is None:
        raise ValueError(f"{spec.model.name} has no window: its input kind is {spec.input.kind}")
    return windowed_by(v, spec.input.window)


def frame(image: Grey | Stored, spec: InputSpec) -> Framed:
    """Crop an image as the model wants it.

    Parameters
    ----------
    image : uint8 or uint16 array, shape (rows, columns)
        Windowed for the 8-bit kinds, HU + 1024 for ``ctset-raw``.
    spec : InputSpec

    Returns
    -------
    Framed
    """
    whole: Box = (0, image.shape[0], 0, image.shape[1])
    if spec.input.kind is InputKind.CTSET_RAW:
        return _square(image)
    if spec.input.lung_box is None or spec.input.window is None:
        return Framed(image=image, box=whole, framing=Framing.FULL_FRAME)
    box = lung_box(np.asarray(image, dtype=np.uint8), spec.input.lung_box, spec.input.window)
    if box is None:
        return Framed(image=image, box=whole, framing=Framing.FULL_FRAME)
    return Framed(image=image[box[0] : box[1], box[2] : box[3]], box=box, framing=Framing.LUNG_BOX)


def to_tensor(crop: Grey | Stored, spec: InputSpec) -> Real:
    """Equalise, resize, blur and normalise a cropped image, in this order.

    Parameters
    ----------
    crop : uint8 or uint16 array, shape (rows, columns)
    spec : InputSpec

    Returns
    -------
    float32 array, shape (channels, rows, columns)
    """
    part = spec.input
    if part.equalise is Equalise.GLOBAL:
        crop = np.asarray(cv2.equalizeHist(np.ascontiguousarray(crop)), dtype=np.uint8)
    image = resized(crop.astype(np.float32), part.size)
    if part.blur is not None:  # a sigma of 0 lets the kernel's side decide: 0.8 for a side of 3
        image = np.asarray(cv2.GaussianBlur(image, (part.blur, part.blur), 0), dtype=np.float32)
    return _normalised(np.repeat(image[None].astype(np.float32), part.channels, axis=0), part)


def prepare_slice(v: Stored, spec: InputSpec) -> PreparedSlice:
    """Prepare one CT slice.

    Parameters
    ----------
    v : uint16 array, shape (rows, columns)
        HU + 1024, clipped to 0..4095, in display orientation (columns to the left, rows to the back).
    spec : InputSpec
    """
    return _prepared(v if spec.input.kind is InputKind.CTSET_RAW else windowed(v, spec), spec)


def prepare_picture(grey: Grey, spec: InputSpec) -> PreparedSlice:
    """Prepare one picture that is windowed already: crop and squash are those of a slice.

    Parameters
    ----------
    grey : uint8 array, shape (rows, columns)
    spec : InputSpec

    Raises
    ------
    ValueError
        The model reads HU, which a picture does not have.
    """
    if spec.input.kind is InputKind.CTSET_RAW:
        raise ValueError(f"{spec.model.name} reads HU + 1024; an 8-bit picture has none")
    return _prepared(grey, spec)


def prepare_stored(values: Stored, spec: InputSpec) -> PreparedSlice:
    """Prepare an image of a golden answer, in the representation that the model's modality has.

    Parameters
    ----------
    values : uint16 array, shape (rows, columns)
        HU + 1024 for CT, grey levels from 0 to 255 for radiographs.
    spec : InputSpec

    Raises
    ------
    ValueError
        A radiograph has more than 256 grey levels.
    """
    if spec.modality is InputModality.CT:
        return prepare_slice(values, spec)
    if values.max(initial=0) > HIGHEST_GREY:
        raise ValueError(f"{spec.model.name} reads radiographs of 8 bits; a grey level is above 255")
    return prepare_picture(values.astype(np.uint8), spec)


def resized(image: Real, size: tuple[int, int]) -> Real:
    """Resize by area where both sides shrink, else bilinearly.

    Parameters
    ----------
    image : float32 array, shape (rows, columns)
    size : (rows, columns)
    """
    if image.shape == size:
        return image
    shrinks = image.shape[0] >= size[0] and image.shape[1] >= size[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (size[1], size[0]), interpolation=interpolation).astype(np.float32)


def _prepared(image: Grey | Stored, spec: InputSpec) -> PreparedSlice:
    framed = frame(image, spec)
    return PreparedSlice(tensor=to_tensor(framed.image, spec), box=framed.box, framing=framed.framing)


def _square(image: Grey | Stored) -> Framed:
    """Pad to a square with 0, which is air in HU + 1024, the image in the middle."""
    rows, columns = image.shape
    side = max(rows, columns)
    top, left = (side - rows) // 2, (side - columns) // 2
    padded = np.zeros((side, side), dtype=image.dtype)
    padded[top : top + rows, left : left + columns] = image
    return Framed(image=padded, box=(-top, side - top, -left, side - left), framing=Framing.SQUARE)


def _normalised(image: Real, part: PreparationSpec) -> Real:
    match part.normalise:
        case FixedNormalise(mean=mean, std=std):
            shape = (part.channels, 1, 1)
            scaled = image / np.float32(255) - np.asarray(mean, dtype=np.float32).reshape(shape)
            return (scaled / np.asarray(std, dtype=np.float32).reshape(shape)).astype(np.float32)
        case PerImageNormalise(epsilon=epsilon):
            return np.asarray((image - image.mean()) / (image.std() + epsilon), dtype=np.float32)
        case NoNormalise():
            return image
