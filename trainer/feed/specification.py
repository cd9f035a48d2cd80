"""The input specification of a network in the making, out of its recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from node.domain.errors import InputSpecError
from node.domain.input_spec import SCHEMA, InputSpec
from trainer.errors import RecipeError

NULL_WHERE_ABSENT: Final = ("window", "lung_box", "blur")
"""Keys of the part ``input`` that may be null; TOML has no null, so a recipe leaves them out."""
POINT: Final = "default"
"""Name of the operating point that a run chooses itself."""


@dataclass(frozen=True, kw_only=True)
class ChosenPoint:
    """An operating point as the trainer writes it."""

    name: str
    slice_threshold: float
    """Probability from which a slice is positive, inclusive."""
    share: Fraction
    """Of positive slices from which a study is positive, inclusive."""
    chosen_on: str

    def as_json(self) -> dict[str, Any]:
        """Return plain values, without the name."""
        return {
            "slice_threshold": self.slice_threshold,
            "share": [self.share.numerator, self.share.denominator],
            "chosen_on": self.chosen_on,
        }


UNCHOSEN: Final = (ChosenPoint(name=POINT, slice_threshold=0.5, share=Fraction(3, 10), chosen_on="nothing"),)


def specification(
    parts: Mapping[str, Any],
    *,
    name: str,
    version: int,
    status: str,
    points: Sequence[ChosenPoint] = UNCHOSEN,
    active: str = POINT,
) -> InputSpec:
    """Return the specification of a model.

    Parameters
    ----------
    parts : mapping
        A recipe's section ``specification``: modality, selection, input, outputs, scope.
    name, version, status
        Of the model.
    points : sequence of ChosenPoint
        Become the operating points, all marked as not validated.
    active : str
        Name of the point in use.

    Raises
    ------
    RecipeError
        A number is missing, unknown or out of range; the message names the key.
    """
    document = dict(parts)
    document.setdefault("selection", None)
    document["input"] = dict.fromkeys(NULL_WHERE_ABSENT) | dict(document.get("input", {}))
    document |= {
        "schema": SCHEMA,
        "model": {"name": name, "version": version, "status": status},
        "operating_points": {point.name: point.as_json() | {"validated": False} for point in points},
        "active_point": active,
    }
    try:
        return InputSpec.from_json(json.dumps(document))
    except InputSpecError as error:
        raise RecipeError(f"section [specification]: {error}") from error
