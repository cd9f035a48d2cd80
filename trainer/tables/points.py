"""The operating points that the first paper's patients are judged at."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from node.domain.result import OperatingPoint

SLICE_THRESHOLD: Final = 0.5
"""The larger of two probabilities decides; a tie is COVID-19, the first class of the authors' networks."""
POINTS: Final = (
    OperatingPoint(
        name="30 %",
        slice_threshold=SLICE_THRESHOLD,
        share=Fraction(3, 10),
        chosen_on="nothing here: Rahimzadeh et al. 2021, section 3.2",
        validated=False,
    ),
    OperatingPoint(
        name="10 %",
        slice_threshold=SLICE_THRESHOLD,
        share=Fraction(1, 10),
        chosen_on="nothing here: code of Rahimzadeh et al. since July 2020",
        validated=False,
    ),
)
