"""What a radiograph says of itself beyond the index: the view, and how its grey levels are meant."""

from __future__ import annotations

from dataclasses import dataclass


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
    windowed: bool
    """Whether a usable VOI LUT or window says which values are shown (PS3.3 C.11.2)."""
