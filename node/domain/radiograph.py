"""What a radiograph says of itself beyond the index: the view, and how its grey levels are meant."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DisplayShutter:
    """Which part of an image is shown (PS3.3 C.7.6.11): what lies within every shape that is given.

    Rows and columns are those of the stored pixels, counted from 1.
    """

    rectangle: tuple[int, int, int, int] | None = None
    """First and last row, first and last column that are shown."""
    circle: tuple[int, int, int] | None = None
    """Row and column of the centre, and the radius in columns: round on the patient, not in pixels."""
    polygon: tuple[tuple[int, int], ...] = ()
    """Row and column of each vertex, in order; the last is joined to the first."""

    @property
    def shapes(self) -> int:
        """How many shapes are given."""
        return (self.rectangle is not None) + (self.circle is not None) + bool(self.polygon)


@dataclass(frozen=True, kw_only=True)
class RadiographView:
    """Attributes of one CR or DX image; text is upper case without padding, an absent one is empty."""

    view_position: str
    """ViewPosition (0018,5101), PS3.3 C.8.1.1 and C.8.11.5."""
    view_code: str
    """CodeValue of the first item of ViewCodeSequence (0054,0220), of whatever coding scheme."""
    patient_orientation: tuple[str, ...]
    """PatientOrientation (0020,0020): direction of the rows, then of the columns (PS3.3 C.7.6.1.1.1)."""
    presentation_intent: str
    """PresentationIntentType (0008,0068)."""
    presentation_lut_shape: str
    """PresentationLUTShape (2050,0020), PS3.3 C.8.11.3."""
    pixel_spacing: tuple[float, float] | None
    """PixelSpacing, else ImagerPixelSpacing (between rows, between columns) in mm; the latter is measured at
    the detector, in front of which the patient is smaller."""
    pixel_aspect: tuple[float, float] | None = None
    """PixelAspectRatio (0028,0034), height and width of a pixel, where no spacing tells them (PS3.3
    C.7.6.3.1.7)."""
    shutter: DisplayShutter | None = None
    """What the image's own display shutter shows; None where it has none that can be read."""
    windowed: bool
    """Whether a usable VOI LUT or window says which values are shown (PS3.3 C.11.2)."""
