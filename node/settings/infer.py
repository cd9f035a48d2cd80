"""The tables ``[infer]`` and ``[[infer.routes]]``: which models, by which engine, for which studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from node.decide.routing import Route, model_reference
from node.domain.model import Precision
from node.settings.section import Seconds, Section
from node.settings.triton import TritonSettings

DEFAULT_MODEL = "covid-ct-lite0"
DEFAULT_MODELS_DIR = Path(__file__).resolve().parents[2] / "triton_models"


def _reference(value: str) -> str:
    """Refuse what is neither ``NAME`` nor ``NAME:VERSION``."""
    model_reference(value)
    return value


ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Reference = Annotated[str, AfterValidator(_reference)]
Criterion = Annotated[str, Field(min_length=1, max_length=64, pattern=r"\S")]


class RouteSettings(Section):
    """A rule that leads studies to a model; the first one that matches counts.

    A study is led once for its CT and once for its radiographs. Texts are compared as a whole, whatever
    their case.
    """

    modality: Literal["CT", "CR", "DX"] = Field(description="Modality (0008,0060) of a series of the study.")
    body_part_examined: Criterion | None = Field(
        None, description="BodyPartExamined (0018,0015) of that series; by default any."
    )
    station_name: Criterion | None = Field(
        None, description="StationName (0008,1010) of that series; by default any."
    )
    ae_title: Criterion | None = Field(
        None, description="Calling AE title that brought that series; by default any."
    )
    model: ModelName = Field(description="Name of the model's folder.")

    def record(self) -> Route:
        """Return the rule."""
        return Route(
            modality=self.modality,
            model=self.model,
            body_part_examined=self.body_part_examined,
            station_name=self.station_name,
            ae_title=self.ae_title,
        )


class InferSettings(Section):
    """The models and their engine."""

    engine: Literal["embedded", "triton"] = Field(
        "embedded",
        description="`embedded`: OpenVINO within the process; `triton`: the server of `[infer.triton]`.",
    )
    model: ModelName = Field(
        DEFAULT_MODEL, description="Model for CT where no route matches: name of its folder."
    )
    radiograph_model: ModelName | None = Field(
        None, description="Model for CR and DX where no route matches; by default radiographs are left alone."
    )
    routes: tuple[RouteSettings, ...] = Field((), description="Rules, each an `[[infer.routes]]`.")
    shadow: tuple[Reference, ...] = Field(
        (),
        description="Models, `name` or `name:version`, that score the same studies for comparison and send "
        "nothing.",
    )
    models_dir: Path = Field(
        DEFAULT_MODELS_DIR,
        description="Folder that holds the model folders; by default `triton_models` of the checkout.",
    )
    precision: Precision = Field(
        Precision.F32,
        description="Arithmetic of the embedded engine; another than `f32` only where the model allows it.",
    )
    threads: int = Field(0, ge=0, le=1024, description="Threads of the embedded engine; 0 takes every core.")
    streams: int = Field(
        0,
        ge=0,
        le=1024,
        description="Requests that the embedded engine computes at once, its threads shared out among them; "
        "0 takes one for each thread, four at most.",
    )
    cache_dir: Path | None = Field(
        None,
        description="Folder in which the embedded engine keeps compiled models, which shortens the start; it "
        "may be emptied at any time. By default none is kept.",
    )
    batch_slices: int = Field(
        4, ge=1, le=1024, description="Slices in one request to the engine; a server with a GPU wants more."
    )
    decoders: int = Field(2, ge=1, le=256, description="Threads that decode and prepare slices.")
    workers: int = Field(1, ge=1, le=64, description="Screenings at the same time.")
    lease_seconds: Seconds = Field(
        900.0, description="A screening that gets no further for this long is taken over."
    )
    canary_seconds: Seconds = Field(
        600.0,
        description="Time between two golden replays; with `triton` one runs before each study besides.",
    )
    first_retry_seconds: Seconds = Field(10.0, description="Delay after a screening that did not end.")
    retry_factor: float = Field(2.0, ge=1, le=10, description="The delay grows by this factor each time.")
    longest_retry_seconds: Seconds = Field(300.0, description="The delay grows no further than this.")
    max_attempts: int = Field(
        3,
        ge=1,
        le=100,
        description="After so many attempts a screening fails.",
    )
    triton: TritonSettings = Field(TritonSettings(), description="Table `[infer.triton]`.")

    def anchored(self, folder: Path) -> InferSettings:
        """Return the settings with their relative paths starting at ``folder``."""
        cache_dir = None if self.cache_dir is None else folder / self.cache_dir
        return self.model_copy(
            update={
                "models_dir": folder / self.models_dir,
                "cache_dir": cache_dir,
                "triton": self.triton.anchored(folder),
            }
        )
