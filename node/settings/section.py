"""What every table of the settings file is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=86400 * 30, allow_inf_nan=False)]


class Section(BaseModel):
    """One table of the file; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
