"""The node's own engine and a real inference server: same network, same answers, same decisions."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from benchmarks.random_bundles import NETS, Net, write_bundle
from node.app import SystemClock
from node.domain.model import Precision
from node.domain.ports import Scorer
from node.domain.result import Finding
from node.infer.bundle import Bundle, load_bundle
from node.infer.canary import Canary
from node.infer.development_server import DevelopmentServer, RunningServer
from node.infer.golden import replay
from node.infer.openvino import EmbeddedScorer
from node.infer.repository import build_repository
from node.infer.served import Served
from node.infer.server_environment import ServerEnvironment
from node.infer.triton import TritonScorer
from node.run.pipeline import Pipeline
from tests.screening_ground import SETTINGS, Ends, Ground, OneModel
from tests.triton_server import ENVIRONMENT, options_for

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "triton_models"
SHIPPED_NAMES = sorted(path.parent.name for path in SHIPPED.glob("*/config.pbtxt"))
SMALL_SIDE = 96
"""Enough to show every way through the network."""
QUICK = ("resnet50v2-fpn",)
AGREEMENT = 1e-3
BATCHES = (1, 3, 4, 8, 11)
"""Below, at and above the parts in which the server computes."""
REAL = (
    "siemens_lungpetctdx_A0002_B70f",
    "philips_lungpetctdx_A0001_L",
    "ge_lidc_0001",
    "nysbu_covid_A002304",
)
PATIENCE = 600.0

Real = NDArray[np.float32]


@contextmanager
def server_of(models: Path, names: list[str], folder: Path) -> Iterator[RunningServer]:
    repository = folder / "repository"
    build_repository(models, names, "cpu", repository)
    server = DevelopmentServer(ServerEnvironment(folder=ENVIRONMENT), folder / "server", clock=SystemClock())
    try:
        yield server.up(repository, names)
    finally:
        server.down()


@contextmanager
def both_engines(bundle: Bundle, running: RunningServer) -> Iterator[tuple[EmbeddedScorer, TritonScorer]]:
    options = options_for(running, deadline_seconds=PATIENCE, control_seconds=PATIENCE)
    with ExitStack() as opened:
        embedded = EmbeddedScorer(bundle, precision=Precision.F32, threads=0)
        opened.callback(embedded.close)
        served = TritonScorer(bundle, options, clock=SystemClock())
        opened.callback(served.close)
        yield embedded, served


def assert_agreement(bundle: Bundle, embedded: Scorer[Real], served: Scorer[Real]) -> None:
    golden = bundle.golden.prepared
    for count in BATCHES:
        images = np.ascontiguousarray(np.resize(golden, (count, *golden.shape[1:])))
        own, theirs = embedded.score(images), served.score(images)
        np.testing.assert_allclose(theirs[0], own[0], atol=AGREEMENT)
        peak = own[1].max()
        assert peak > 0
        np.testing.assert_allclose(theirs[1] / peak, own[1] / peak, atol=AGREEMENT)
        assert [item.argmax() for item in theirs[0]] == [item.argmax() for item in own[0]]
    spread = bundle.golden.probabilities[:, 0]
    assert np.ptp(spread) > 10 * AGREEMENT, "the answers are too much alike to tell anything"


def compare(net: Net, side: int | None, folder: Path) -> None:
    bundle = load_bundle(write_bundle(folder / "models", net, side=side))
    with (
        server_of(folder / "models", [net.name], folder) as running,
        both_engines(bundle, running) as (embedded, served),
    ):
        assert embedded.identity.weights_sha256 == served.identity.weights_sha256
        assert_agreement(bundle, embedded, served)


@pytest.mark.long
@pytest.mark.parametrize("name", QUICK)
def test_small_networks_agree(name: str, tmp_path: Path) -> None:
    (net,) = (net for net in NETS if net.name == name)
    compare(net, SMALL_SIDE, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_every_network_agrees_at_its_own_input_size(net: Net, tmp_path: Path) -> None:
    compare(net, None, tmp_path)


@pytest.fixture(scope="module")
def real_series() -> list[Path]:
    folder = Path(os.environ.get("GROUNDGLASS_DATA", ROOT.parent / "shared" / "data")) / "dicom"
    if not folder.is_dir():
        pytest.skip(f"real CT series are absent: {folder} (name their folder in GROUNDGLASS_DATA)")
    return [folder / name for name in REAL]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with server_of(SHIPPED, SHIPPED_NAMES, tmp_path_factory.mktemp("shipped")) as server:
        yield server


def receive(ground: Ground, folder: Path) -> None:
    for file in sorted(folder.rglob("*.dcm")):
        ground.receive([pydicom.dcmread(file)])


def findings(ground: Ground, bundle: Bundle, scorer: Scorer[Real]) -> dict[str, Finding]:
    """Screen every study of the ground; return findings by StudyInstanceUID."""
    clock, ends = SystemClock(), Ends()
    canary = Canary(clock=clock, every=timedelta(hours=1), replay=lambda: replay(bundle, scorer))
    pipeline = Pipeline(
        store=ground.store,
        models=OneModel(Served(bundle=bundle, scorer=scorer, guard=canary)),
        clock=clock,
        settings=dataclasses.replace(SETTINGS, minimum_slices=1),
        listener=ends,
    )
    found = {}
    while (screening := ground.store.screenings.claim("worker", lease=timedelta(hours=1))) is not None:
        pipeline.run(screening)
        found[screening.study_instance_uid] = ground.store.screenings.finding(screening.id)
    pipeline.close()
    assert found
    return found


@pytest.mark.long
@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_real_series_get_the_same_decisions(
    name: str, real_series: list[Path], running: RunningServer, tmp_path: Path
) -> None:
    bundle = load_bundle(SHIPPED / name)
    found: list[dict[str, Finding]] = []
    with both_engines(bundle, running) as engines:
        for number, scorer in enumerate(engines):
            ground = Ground(tmp_path / str(number))
            try:
                for folder in real_series:
                    receive(ground, folder)
                ground.settle(name)
                found.append(findings(ground, bundle, scorer))
            finally:
                ground.close()
    own, theirs = found
    assert own.keys() == theirs.keys()
    assert sum(item.selected for item in own.values()) > 100
    for uid, finding in own.items():
        assert_same_decisions(finding, theirs[uid])


def assert_same_decisions(one: Finding, other: Finding) -> None:
    assert one.run_outcome is other.run_outcome
    assert (one.outcome, one.ratio, one.received, one.selected) == (
        other.outcome,
        other.ratio,
        other.received,
        other.selected,
    )
    for mine, theirs in zip(one.slices, other.slices, strict=True):
        assert (mine.sop_instance_uid, mine.selected, mine.positive) == (
            theirs.sop_instance_uid,
            theirs.selected,
            theirs.positive,
        )
        assert (mine.probability is None) is (theirs.probability is None)
        if mine.probability is not None:
            assert mine.probability == pytest.approx(theirs.probability, abs=AGREEMENT)
