"""Seconds of whole studies through the node's own pipeline, from the indexed series to the stored results.

The series is the phantom's, 512 x 512, decoded from the files that the store keeps. Network and sending are
left out: the first paper's table has neither.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from node.app import SystemClock
from node.dicom.write import PhantomLabels, write_phantom
from node.domain.input_spec import PlausibilitySpec
from node.domain.job import Screening
from node.domain.model import ModelIdentity, Precision
from node.domain.ports import Scorer
from node.imaging.phantom import ThoraxPhantom
from node.infer.bundle import Bundle
from node.infer.canary import Canary
from node.infer.openvino import EmbeddedScorer
from node.infer.served import Served
from node.run.pipeline import Pipeline
from node.run.progress import Stage
from tests.model_folder import of_wide_scope
from tests.screening_ground import SETTINGS, Ends, Ground, OneModel

Real = NDArray[np.float32]
PAPER: Final = {35: 2.3039, 65: 3.56452, 130: 9.8845, 198: 12.4371, 355: 13.2398, 406: 23.6463}
"""Slices -> seconds on a Tesla P100 (Rahimzadeh et al. 2021, table 5: the whole automated system with
ResNet50V2-FPN)."""
BESIDE: Final = 133
"""Slices of the study whose work beside inference is measured."""
HEATMAPS: Final = 10
AT_ONCE: Final = "no engine"


@dataclass(frozen=True, kw_only=True)
class Study:
    """One screening that was timed."""

    net: str
    way: str
    slices: int
    scored: int
    seconds: float
    """From claim to the results in the outbox."""
    cpu_seconds: float
    """Of all threads meanwhile."""
    stages: dict[str, float]
    """Seconds of each stage."""


class Timed(Ends):
    """Keeps the seconds of each stage and how many slices were scored."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = {}

    def stage_finished(self, screening: Screening, stage: Stage, seconds: float) -> None:  # noqa: ARG002 - one study at a time
        """Add a stage's seconds."""
        self.seconds[stage.value] = self.seconds.get(stage.value, 0.0) + seconds

    @property
    def scored(self) -> int:
        """Slices that went through the engine."""
        return self.advances.get(Stage.INFER, [(0, 0)])[-1][0]


class Answered:
    """An answer that is there at once."""

    def __init__(self, answer: tuple[Real, Real]) -> None:
        self._answer = answer

    def result(self) -> tuple[Real, Real]:
        """Return it."""
        return self._answer


class AtOnce:
    """An engine that takes no time and answers the golden answer, so that all other work is left."""

    in_flight = 1

    def __init__(self, bundle: Bundle, identity: ModelIdentity) -> None:
        self.identity = identity
        self._golden = bundle.golden

    def submit(self, batch: Real) -> Answered:
        """Answer without looking."""
        places = np.arange(len(batch)) % len(self._golden.cam)
        return Answered((self._golden.probabilities[places], self._golden.cam[places]))

    def score(self, batch: Real) -> tuple[Real, Real]:
        """Answer without looking."""
        return self.submit(batch).result()

    def rest(self) -> None:
        """No batch leaves anything behind."""

    def close(self) -> None:
        """There is nothing to let go of."""


def scorer_for(bundle: Bundle, way: str) -> Scorer[Real]:
    """Return the engine in a precision, or none."""
    precision = Precision.F32 if way == AT_ONCE else Precision(way)
    engine = EmbeddedScorer(bundle, precision=precision, threads=os.cpu_count() or 1)
    if way != AT_ONCE:
        engine.score(bundle.golden.prepared)
        return engine
    engine.close()
    return AtOnce(bundle, engine.identity)


def series(folder: Path, slices: int) -> list[Path]:
    """Write a series of the phantom unless it is there; return its files."""
    own = folder / f"phantom-{slices}"
    if own.exists():
        return sorted(own.iterdir())
    return write_phantom(
        own, ThoraxPhantom(seed=1, slices=slices, patches=8), PhantomLabels(identity="study")
    )


def screened(bundle: Bundle, scorer: Scorer[Real], files: Sequence[Path], way: str, batch: int) -> Study:
    """Index a series, screen it once and return what it took.

    Parameters
    ----------
    bundle : Bundle
    scorer : Scorer
        Warm.
    files : sequence of Path
    way : str
        What the scorer is called in the tables.
    batch : int
        Slices in one request.
    """
    timed = Timed()
    with tempfile.TemporaryDirectory() as root:
        ground = Ground(Path(root))
        try:
            for file in files:
                ground.receive([dcmread(file)])
            ground.settle(bundle.name)
            screening = ground.claim()
            clock = SystemClock()
            canary = Canary(clock=clock, every=SETTINGS.retry.longest, replay=float)
            canary.check()
            pipeline = Pipeline(
                store=ground.store,
                models=OneModel(Served(bundle=bundle, scorer=scorer, guard=canary)),
                clock=clock,
                settings=dataclasses.replace(SETTINGS, batch=batch, max_heatmaps=HEATMAPS),
                listener=timed,
            )
            began, used = time.perf_counter(), time.process_time()
            pipeline.run(screening)
            seconds, busy = time.perf_counter() - began, time.process_time() - used
            pipeline.close()
        finally:
            ground.close()
    if timed.ends[-1][0].value != "stored":
        raise RuntimeError(f"the screening did not end with results: {timed.ends[-1]}")
    return Study(
        net=bundle.name,
        way=way,
        slices=len(files),
        scored=timed.scored,
        seconds=seconds,
        cpu_seconds=busy,
        stages=timed.seconds,
    )


def every_slice(bundle: Bundle) -> Bundle:
    """Return the bundle with a selection that leaves out next to nothing."""
    spec = bundle.spec
    anything = PlausibilitySpec(minimum_run_share=0.0, minimum_dark_area_mm2=0.0)
    selection = dataclasses.replace(spec.selection, threshold_ratio=Fraction(0), plausibility=anything)
    return dataclasses.replace(bundle, spec=dataclasses.replace(spec, ct_selection=selection))


def wide(bundle: Bundle) -> Bundle:
    """Return the bundle with a scope that has room for every phantom."""
    return of_wide_scope(bundle)
