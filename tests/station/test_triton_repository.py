"""The generated repository on the real server: what it serves, and what it says of the variants for a GPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino
import pytest
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from node.app import SystemClock
from node.domain.model import Precision
from node.infer.acceptance import try_bundles
from node.infer.bundle import Bundle, load_bundle
from node.infer.development_server import DevelopmentServer, Ports, RunningServer
from node.infer.openvino import EmbeddedScorer
from node.infer.repository import build_repository
from node.infer.repository_config import RepositoryOptions, Target
from node.infer.server_environment import ServerEnvironment
from node.infer.triton_link import Link
from tests.model_folder import phantom_slices, tiny_spec, write_model_folder
from tests.triton_server import ENVIRONMENT, options_for

SHIPPED = Path(__file__).parents[2] / "triton_models"
NAMES = sorted(path.parent.name for path in SHIPPED.glob("*/config.pbtxt"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Served:
    """A server, its repository, and a client that loads."""

    running: RunningServer
    repository: Path
    models: Path
    client: grpc.InferenceServerClient

    def load(self, name: str) -> str:
        """Load a network; return the server's complaint."""
        try:
            self.client.load_model(name)
        except InferenceServerException as error:
            return error.message()
        return ""


def named(name: str):
    return tiny_spec(model=dataclasses.replace(tiny_spec().model, name=name))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    models, repository = folder / "models", folder / "repository"
    for name in ("tiny", "for-onnx", "for-tensorrt", "swapped"):
        write_model_folder(models, phantom_slices(), spec=named(name))
    build_repository(SHIPPED, [], Target.CPU, repository)
    build_repository(models, ["swapped"], Target.CPU, repository)
    build_repository(models, ["tiny"], Target.CPU, repository, RepositoryOptions(precision=Precision.BF16))
    build_repository(models, ["for-onnx"], Target.ONNX, repository)
    build_repository(models, ["for-tensorrt"], Target.TENSORRT, repository)
    server = DevelopmentServer(ServerEnvironment(folder=ENVIRONMENT), folder / "server", clock=SystemClock())
    running = server.up(repository, NAMES, ports=Ports.free())
    client = grpc.InferenceServerClient(running.url)
    try:
        yield Served(running=running, repository=repository, models=models, client=client)
    finally:
        client.close()
        server.down()


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_network_is_accepted_and_answers_as_the_embedded_engine(
    name: str, served: Served
) -> None:
    bundle = load_bundle(SHIPPED / name)
    options = options_for(served.running)

    (trial,) = try_bundles([bundle], lambda wanted: Link(wanted, options))
    assert trial.passed, trial.problem
    assert trial.identity.precision is Precision.F32

    embedded = EmbeddedScorer(bundle, precision=Precision.F32, threads=1)
    link = Link(bundle, options)
    try:
        for found, expected in zip(
            link.score(bundle.golden.prepared), embedded.score(bundle.golden.prepared), strict=True
        ):
            np.testing.assert_allclose(found, expected, atol=1e-3)
    finally:
        link.close()
        embedded.close()


def tiny(served: Served) -> Bundle:
    return load_bundle(served.models / "tiny")


def test_bf16_is_served_where_the_processor_has_it_and_refused_elsewhere(served: Served) -> None:
    complaint = served.load("tiny")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert "this processor has no bf16" in complaint
        return
    assert complaint == ""
    (trial,) = try_bundles([tiny(served)], lambda wanted: Link(wanted, options_for(served.running)))
    assert trial.passed, trial.problem
    assert trial.identity.precision is Precision.BF16
    assert trial.differences.tolerance == 5e-2


@pytest.mark.parametrize(("name", "backend"), [("for-onnx", "onnxruntime"), ("for-tensorrt", "tensorrt")])
def test_the_server_reads_the_variants_for_a_gpu_as_far_as_their_backend(
    name: str, backend: str, served: Served
) -> None:
    """All it lacks here is the backend: the configuration itself was read and found complete."""
    assert f"unable to find backend library for backend '{backend}'" in served.load(name)


def test_the_server_is_able_to_complain_of_a_configuration(served: Served) -> None:
    config = served.repository / "for-onnx" / "config.pbtxt"
    text = config.read_text()
    config.write_text(text.replace("max_queue_delay_microseconds", "max_queue_delay_seconds"))
    try:
        assert "backend library" not in served.load("for-onnx")
    finally:
        config.write_text(text)


def test_the_backend_refuses_a_network_that_the_configuration_does_not_name(served: Served) -> None:
    network = served.repository / "swapped" / "1" / "model.onnx"
    assert served.load("swapped") == ""
    content = network.read_bytes()
    network.write_bytes((served.models / "tiny" / "1" / "model.onnx").read_bytes() + b"\x00")

    served.client.unload_model("swapped")
    complaint = served.load("swapped")

    assert "the configuration says" in complaint
    network.write_bytes(content)
    assert served.load("swapped") == ""
