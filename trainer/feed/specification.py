"""The input specification of a network in the making, out of its recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from node.domain.errors import InputSpecError
from node.domain.input_spec import SCHEMA, InputSpec
from trainer.errors import RecipeError

NULL_WHERE_ABSENT: Final = ("window", "lung_box", "blur")
"""Keys of the part ``input`` that may be null; TOML has no null, so a recipe leaves them out."""
POINT: Final = "default"
"""Name of the operating point that a run chooses."""


@dataclass(frozen=True, kw_only=True)
class ChosenPoint:
    """The operating point as the trainer writes it."""

    slice_threshold: float
    share: Fraction
    chosen_on: str


UNCHOSEN: Final = ChosenPoint(slice_threshold=0.5, share=Fraction(3, 10), chosen_on="nothing")


def specification(
    parts: Mapping[str, Any], *, name: str, version: int, status: str, point: ChosenPoint = UNCHOSEN
) -> InputSpec:
    """Return the specification of a model.

    Parameters
    ----------
    parts : mapping
        A recipe's section ``specification``: modality, selection, input, outputs, scope.
    name, version, status
        Of the model.
    point : ChosenPoint
        Becomes the only operating point, marked as not validated.

    Raises
    ------
    RecipeError
        A number is missing, unknown or out of range; the message names the key.
    """
    document = dict(parts)
    document["input"] = dict.fromkeys(NULL_WHERE_ABSENT) | dict(document.get("input", {}))
    document |= {
        "schema": SCHEMA,
        "model": {"name": name, "version": version, "status": status},
        "operating_points": {
            POINT: {
                "slice_threshold": point.slice_threshold,
                "share": [point.share.numerator, point.share.denominator],
                "chosen_on": point.chosen_on,
                "validated": False,
            }
        },
        "active_point": POINT,
    }
    try:
        return InputSpec.from_json(json.dumps(document))
    except InputSpecError as error:
        raise RecipeError(f"section [specification]: {error}") from error
