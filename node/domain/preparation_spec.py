"""How one slice or picture becomes the network's input: the part ``input`` of the input specification."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum

from node.domain.strict_json import StrictObject

LARGEST_SIDE = 4096


class InputModality(StrEnum):
    """DICOM Modality (0008,0060) that the model reads."""

    CT = "CT"
    CR = "CR"


class InputKind(StrEnum):
    """How a slice becomes the network's input."""

    LUNG_WINDOW_BOX = "lung-window-box"
    """Windowed to 8 bit, cropped to the lungs, squashed to the input size."""
    CTSET_RAW = "ctset-raw"
    """HU + 1024 as it is (Rahimzadeh et al. 2021, section 2.4: not resized, not scaled)."""
    HISTOGRAM_EQUALISED = "histogram-equalised"
    """Windowed to 8 bit, equalised, resized, blurred, standardised (Deep-CT-Net, section 4.1)."""


class Equalise(StrEnum):
    """Histogram equalisation of the 8-bit image."""

    NONE = "none"
    GLOBAL = "global"


@dataclass(frozen=True, kw_only=True)
class WindowSpec:
    """Linear window to 8 bit, in HU (PS3.3 C.11.2.1.3.2, LINEAR_EXACT)."""

    center: float
    width: float


@dataclass(frozen=True, kw_only=True)
class LungBoxSpec:
    """How the lungs' bounding box is found on the windowed 8-bit image."""

    margin: float
    """Added on each side, as a share of the box's rows or columns."""
    air_below_hu: float
    """Darker pixels are air or lung; converted to a grey level through the window."""
    minimum_area_share: float
    """Smallest share of the image that one lung field covers; smaller dark parts are ignored."""
    symmetry: float
    """When one half of the box about the body's midline is narrower than this share of the other, it is
    widened to that share: a lung that is consolidated all through is not dark."""
    minimum_aspect: float
    """A box lower than this share of its width is made taller: consolidated dorsal parts are not dark."""


class NormaliseKind(StrEnum):
    """How grey values become the network's numbers."""

    FIXED = "fixed"
    PER_IMAGE = "per-image"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class FixedNormalise:
    """(x / 255 - mean) / std per channel."""

    kind: NormaliseKind = dataclasses.field(default=NormaliseKind.FIXED, init=False)
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PerImageNormalise:
    """(x - mean of the image) / (standard deviation of the image + epsilon)."""

    kind: NormaliseKind = dataclasses.field(default=NormaliseKind.PER_IMAGE, init=False)
    epsilon: float


@dataclass(frozen=True, kw_only=True)
class NoNormalise:
    """The values as they are."""

    kind: NormaliseKind = dataclasses.field(default=NormaliseKind.NONE, init=False)


Normalise = FixedNormalise | PerImageNormalise | NoNormalise


@dataclass(frozen=True, kw_only=True)
class PreparationSpec:
    """How one slice or picture becomes the network's input."""

    kind: InputKind
    size: tuple[int, int]
    """Rows and columns of the network's input."""
    channels: int
    """1, or 3 equal ones."""
    window: WindowSpec | None
    """None for ``ctset-raw`` and for radiographs, which come windowed."""
    lung_box: LungBoxSpec | None
    """None: the whole frame."""
    equalise: Equalise
    blur: int | None
    """Side of the Gaussian kernel in pixels (odd), after resizing; None: no blur."""
    normalise: Normalise


def read_preparation(source: StrictObject, modality: InputModality) -> PreparationSpec:
    """Read the part ``input``; the source's error names the key."""
    window, box = source.optional_child("window"), source.optional_child("lung_box")
    channels = source.whole("channels", 1, 3)
    record = PreparationSpec(
        kind=source.choice("kind", InputKind),
        size=source.whole_pair("size", 8, LARGEST_SIDE),
        channels=channels,
        window=None if window is None else _window(window),
        lung_box=None if box is None else _lung_box(box),
        equalise=source.choice("equalise", Equalise),
        blur=None if (blur := source.raw("blur")) is None else _blur(source, blur),
        normalise=_normalise(source.child("normalise"), channels),
    )
    if channels == 2:
        source.fail("channels", "1 or 3")
    _agree(source, record, modality)
    source.close()
    return record


def _agree(source: StrictObject, record: PreparationSpec, modality: InputModality) -> None:
    """Refuse combinations that the kind of input does not have."""
    raw = record.kind is InputKind.CTSET_RAW
    if raw and modality is InputModality.CR:
        source.fail("kind", "another kind: ctset-raw reads CT")
    if (record.window is not None) != (modality is InputModality.CT and not raw):
        source.fail("window", "a window for 8-bit CT input, null otherwise")
    if (record.lung_box is not None) != (record.kind is InputKind.LUNG_WINDOW_BOX):
        source.fail("lung_box", "a lung box for lung-window-box, null otherwise")
    if record.lung_box is not None and record.window is None:
        source.fail("kind", "another kind: lung-window-box reads CT")
    if raw and (record.channels != 1 or record.blur is not None or record.equalise is not Equalise.NONE):
        source.fail("kind", "one channel, no blur and no equalisation for ctset-raw")
    if raw and isinstance(record.normalise, FixedNormalise):
        source.fail("normalise", "none or per-image for ctset-raw")


def _window(source: StrictObject) -> WindowSpec:
    record = WindowSpec(center=source.number("center"), width=source.number("width", 1))
    source.close()
    return record


def _lung_box(source: StrictObject) -> LungBoxSpec:
    record = LungBoxSpec(
        margin=source.number("margin", 0, 1),
        air_below_hu=source.number("air_below_hu", -1024, 0),
        minimum_area_share=source.number("minimum_area_share", 0, 1),
        symmetry=source.number("symmetry", 0, 1),
        minimum_aspect=source.number("minimum_aspect", 0, 1),
    )
    source.close()
    return record


def _blur(source: StrictObject, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in range(3, 32, 2):
        source.fail("blur", "null or an odd integer from 3 to 31")
    return value


def _normalise(source: StrictObject, channels: int) -> Normalise:
    kind = source.choice("kind", NormaliseKind)
    record: Normalise
    match kind:
        case NormaliseKind.FIXED:
            std = source.numbers("std", channels)
            if min(std) <= 0:
                source.fail("std", "numbers above 0")
            record = FixedNormalise(mean=source.numbers("mean", channels), std=std)
        case NormaliseKind.PER_IMAGE:
            record = PerImageNormalise(epsilon=source.number("epsilon", 1e-12, 1))
        case NormaliseKind.NONE:
            record = NoNormalise()
    source.close()
    return record
