"""What the result set of a large study costs: seconds, memory beside what was there, and bytes.

Run: ``python -m benchmarks.results [--slices 400] [--positive 40] [--heatmaps 10] [--repeat 3]``; with
``--profile`` the slowest functions follow.

The study is the phantom's, 512 x 512, screened by the node's own pipeline; the network's answers are there at
once. Time and memory count from the decision to the last stored object: heatmaps, maps as data, summary,
report, key objects.
"""

from __future__ import annotations

import argparse
import cProfile
import dataclasses
import itertools
import pstats
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from benchmarks.studies import Answered, Timed, every_slice, series, wide
from node.app import SystemClock
from node.domain.job import Screening
from node.domain.model import ModelIdentity, Precision
from node.domain.result import ResultKind
from node.infer.bundle import Bundle, load_bundle
from node.infer.canary import Canary
from node.infer.openvino import EmbeddedScorer
from node.infer.served import Served
from node.run.pipeline import Pipeline
from node.run.progress import Stage
from tests.screening_ground import SETTINGS, Ground, OneModel

Real = NDArray[np.float32]
MODEL: Final = Path(__file__).parents[1] / "triton_models" / "covid-ct-lite0"
AIM_SECONDS: Final = 3.0
AIM_BYTES: Final = 300_000_000
AIM_REPORT_BYTES: Final = 350_000
STATUS: Final = Path("/proc/self/status")
FORGET_PEAK: Final = "5"  # proc(5), clear_refs: the peak of resident memory begins anew


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one result set."""

    seconds: float
    stages: dict[str, float]
    extra_bytes: int
    """Peak of resident memory less what was resident at the decision."""
    sizes: dict[ResultKind, int]
    """Bytes of all objects of a kind."""
    counts: dict[ResultKind, int]


class Some:
    """An engine that takes no time and finds something on the first slices it is given."""

    in_flight = 1

    def __init__(self, bundle: Bundle, identity: ModelIdentity, positive: int) -> None:
        self.identity = identity
        self._cams = bundle.golden.cam
        self._place = bundle.spec.outputs.classes.index(bundle.spec.outputs.positive_class)
        self._left = positive
        self._count = itertools.count()

    def submit(self, batch: Real) -> Answered:
        """Answer without looking."""
        numbers = [next(self._count) for _ in batch]
        scores = [0.9 - number / 1000 if number < self._left else 0.1 for number in numbers]
        probabilities = np.empty((len(batch), 2), dtype=np.float32)
        probabilities[:, self._place] = scores
        probabilities[:, 1 - self._place] = 1 - probabilities[:, self._place]
        return Answered((probabilities, self._cams[np.array(numbers) % len(self._cams)]))

    def score(self, batch: Real) -> tuple[Real, Real]:
        """Answer without looking."""
        return self.submit(batch).result()

    def rest(self) -> None:
        """No batch leaves anything behind."""

    def close(self) -> None:
        """There is nothing to let go of."""


class Watched(Timed):
    """Notes the memory at the decision, and profiles what comes after it."""

    def __init__(self, profile: cProfile.Profile | None) -> None:
        super().__init__()
        self._profile = profile
        self.resident = 0

    def decided(self, screening: Screening, finding: object) -> None:  # noqa: ARG002 - one study at a time
        """Begin to count."""
        self.seconds.clear()
        self.resident = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text(FORGET_PEAK)
        if self._profile is not None:
            self._profile.enable()


def memory(name: str) -> int:
    """Return a line of the process's memory status, bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


@contextmanager
def received(files: list[Path], bundle: Bundle) -> Iterator[tuple[Ground, Screening]]:
    """Lend a store that holds the study, with its screening claimed."""
    with tempfile.TemporaryDirectory() as root:
        ground = Ground(Path(root))
        try:
            for file in files:
                ground.receive([dcmread(file)])
            ground.settle(bundle.name)
            yield ground, ground.claim()
        finally:
            ground.close()


def measure(files: list[Path], bundle: Bundle, arguments: argparse.Namespace) -> Cost:
    """Screen the study once and return what its result set cost."""
    profile = cProfile.Profile() if arguments.profile else None
    watched = Watched(profile)
    engine = EmbeddedScorer(bundle, precision=Precision.F32, threads=1)
    identity = engine.identity
    engine.close()
    clock = SystemClock()
    canary = Canary(clock=clock, every=SETTINGS.retry.longest, replay=float)
    canary.check()
    scorer = Some(bundle, identity, arguments.positive)
    with received(files, bundle) as (ground, screening):
        pipeline = Pipeline(
            store=ground.store,
            models=OneModel(Served(bundle=bundle, scorer=scorer, guard=canary)),
            clock=clock,
            settings=dataclasses.replace(SETTINGS, batch=16, max_heatmaps=arguments.heatmaps),
            listener=watched,
        )
        pipeline.run(screening)
        peak = memory("VmHWM")
        if profile is not None:
            profile.disable()
            pstats.Stats(profile).sort_stats("cumulative").print_stats(40)
        rows = ground.store.screenings.results(screening.id)
        finding = ground.store.screenings.finding(screening.id)
        pipeline.close()
    if finding is None or (finding.received, finding.positive) != (len(files), arguments.positive):
        raise RuntimeError(f"not the study that was asked for: {watched.ends[-1]}")
    stages = {stage.value: watched.seconds[stage.value] for stage in (Stage.REPORT, Stage.STORE)}
    kinds = [row.kind for row in rows]
    return Cost(
        seconds=sum(stages.values()),
        stages=stages,
        extra_bytes=peak - watched.resident,
        sizes={kind: sum(row.size for row in rows if row.kind is kind) for kind in kinds},
        counts={kind: kinds.count(kind) for kind in kinds},
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--positive", type=int, default=40)
    parser.add_argument("--heatmaps", type=int, default=10, help="the default of `max_heatmaps`")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    bundle = every_slice(wide(load_bundle(MODEL)))
    with tempfile.TemporaryDirectory() as folder:
        files = series(Path(folder), arguments.slices)
        costs = [measure(files, bundle, arguments) for _ in range(arguments.repeat)]
    seconds = [cost.seconds for cost in costs]
    extra = [cost.extra_bytes for cost in costs]
    report = costs[0].sizes[ResultKind.REPORT]
    print(f"{arguments.slices} slices, {arguments.positive} positive, {arguments.heatmaps} heatmaps")
    print(f"seconds     {statistics.median(seconds):8.2f} [{min(seconds):.2f}-{max(seconds):.2f}]")
    for stage in costs[0].stages:
        print(f"  {stage:<10}{statistics.median(cost.stages[stage] for cost in costs):8.2f}")
    print(
        f"extra MB    {statistics.median(extra) / 1e6:8.0f} [{min(extra) / 1e6:.0f}-{max(extra) / 1e6:.0f}]"
    )
    print(f"report kB   {report / 1e3:8.0f}")
    for kind, size in costs[0].sizes.items():
        print(f"  {kind.value:<16}{costs[0].counts[kind]:>4} x{size / costs[0].counts[kind] / 1e6:9.2f} MB")
    print(f"aims: {AIM_SECONDS} s, {AIM_BYTES / 1e6:.0f} MB, {AIM_REPORT_BYTES / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
