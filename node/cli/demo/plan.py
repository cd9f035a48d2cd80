"""What the demo was asked to do, and the settings of the node it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node.domain.model import Precision
from node.settings.destinations import DicomDestinationSettings
from node.settings.infer import DEFAULT_MODEL, DEFAULT_MODELS_DIR, InferSettings
from node.settings.settings import Settings
from node.settings.tables import (
    AssembleSettings,
    DeliverSettings,
    HealthSettings,
    NodeSettings,
    PeerSettings,
    SelectSettings,
)

LOOPBACK = "127.0.0.1"
SCANNER = "SCANNER"
NODE = "GROUNDGLASS"
PACS = "DEMOPACS"
DESTINATION = "demo-pacs"
PATIENCE_FACTOR = 60.0
"""The cap of the demo as a multiple of its quiet time: nothing arrives late on loopback."""


@dataclass(frozen=True, kw_only=True)
class DemoPlan:
    """What was asked for."""

    source: Path | None
    """The user's DICOM folder; None sends the phantom."""
    out: Path
    """Where everything is left."""
    bundle: Path | None
    """Model folder; None takes the default one."""
    precision: Precision
    """Arithmetic of the engine."""
    quiet_seconds: float
    """Silence after which a series counts as complete."""
    minimum_slices: int | None
    """Fewest slices of a series; None takes the model's number."""
    timeout_seconds: float
    """How long everything may take after the last file was sent."""


def demo_settings(plan: DemoPlan, *, data_dir: Path, pacs_port: int) -> Settings:
    """Return the settings of the demo's node: loopback, free port, short quiet times, the demo's own PACS."""
    bundle = plan.bundle.resolve() if plan.bundle is not None else None
    infer = InferSettings(
        models_dir=bundle.parent if bundle is not None else DEFAULT_MODELS_DIR,
        model=bundle.name if bundle is not None else DEFAULT_MODEL,
        precision=plan.precision,
        first_retry_seconds=0.5,
    )
    quiet = plan.quiet_seconds
    return Settings(
        node=NodeSettings(ae_title=NODE, host=LOOPBACK, port=0, data_dir=data_dir),
        peers=(PeerSettings(ae_title=SCANNER, addresses=(LOOPBACK,)),),
        destinations=(
            DicomDestinationSettings(
                name=DESTINATION, ae_title=PACS, host=LOOPBACK, port=pacs_port, accept_demonstration=True
            ),
        ),
        deliver=DeliverSettings(courier_seconds=0.5, first_retry_seconds=1.0, max_attempts=5),
        assemble=AssembleSettings(
            sweep_seconds=0.25,
            geometry_quiet_seconds=quiet,
            plain_quiet_seconds=quiet,
            study_quiet_seconds=quiet,
            floor_seconds=quiet,
            ceiling_seconds=quiet,
            cap_seconds=quiet * PATIENCE_FACTOR,
        ),
        select=SelectSettings(minimum_slices=plan.minimum_slices),
        infer=infer,
        health=HealthSettings(enabled=False),
    )
