"""Models that change while a node screens by the real server: promoted, shadowed, swapped, unloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from node.app import Node, SystemClock, build
from node.cli.exits import ExitCode
from node.dicom.write import PhantomLabels
from node.domain.job import Purpose, Screening
from node.domain.result import Finding, Outcome
from node.infer.bundle import Bundle
from node.infer.repository import build_repository
from node.operate.counting import SilentListener
from node.run.progress import Stage
from tests.model_folder import TinyNet, phantom_slices, write_version
from tests.screening_ground import phantom_series
from tests.station.app_ground import Place, install, wait_for
from tests.station.test_provenance import assert_names, reported
from tests.triton_server import Site

AUDIT = ("--by", "tester", "--reason", "test")
BLIND = TinyNet(bias=-40.0)


class AtFirstInference(SilentListener):
    """Does something once, while the first slices are being scored."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action: Callable[[], object] | None = action

    def stage_advanced(self, screening: Screening, stage: Stage, done: int, total: int) -> None:
        if stage is Stage.INFER and self._action is not None:
            action, self._action = self._action, None
            action()


def installed(folder: Path, site: Site, bundle: Bundle, more: str = "") -> Place:
    """Install a node whose engine is the server, and accept every version there."""
    folder.mkdir()
    place = install(folder, bundle)
    text = place.config.read_text().replace(
        "[infer]\n", f'[infer]\nengine = "triton"\nbatch_slices = 4\nfirst_retry_seconds = 0.2\n{more}'
    )
    server = f'url = "{site.running.url}"\nallow_old_server = true\nbreaker_seconds = 0.5\n'
    place.config.write_text(f"{text}\n[infer.triton]\n{server}")
    answer = place.command("models", "accept", "--model", bundle.name, *AUDIT)
    assert answer.exit_code == 0, answer.output
    return place


@contextmanager
def running(place: Place, listener: SilentListener | None = None) -> Iterator[Node]:
    node = build(place.settings, progress=listener)
    node.start()
    try:
        yield node
    finally:
        node.stop()


def scan(place: Place, number: int) -> str:
    """Send a study of its own and return its UID."""
    labels = PhantomLabels(identity=f"study {number}", patient_id=f"P{number}")
    folder = place.folder / f"series {number}"
    folder.mkdir()
    for index, item in enumerate(phantom_series(labels, patches=6)):
        item.save_as(folder / f"{index}.dcm", enforce_file_format=True)
    sent = place.json("send", str(folder), "--to", f"GROUNDGLASS@127.0.0.1:{place.port}", "--as", "CT1")
    assert {item["fate"] for item in sent} == {"sent"}
    return labels.study_instance_uid


def report(node: Node, study: str) -> Finding | None:
    found = node.store.screenings.latest(node.store.studies.get(study).id)
    return None if found is None else found[1]


def answered(node: Node, study: str) -> Finding:
    wait_for(lambda: report(node, study) is not None, "the answer")
    found = report(node, study)
    assert found is not None
    return found


def two_versions(site: Site) -> None:
    """Give the server a second version of the tiny network, which sees nothing anywhere."""
    write_version(site.tiny.folder, phantom_slices(), 2, net=BLIND)
    build_repository(site.tiny.folder.parent, ["tiny"], "cpu", site.repository)
    site.load_again(site.tiny)


def test_a_version_is_promoted_while_studies_run(own_triton: Callable[..., Site], tmp_path: Path) -> None:
    site = own_triton(["tiny"])
    two_versions(site)
    place = installed(tmp_path / "node", site, site.tiny)

    def promote() -> None:
        answer = place.command("models", "promote", "tiny:2", *AUDIT)
        assert answer.exit_code == 0, answer.output

    with running(place, AtFirstInference(promote)) as node:
        first = answered(node, scan(place, 1))
        second = answered(node, scan(place, 2))
        for study in node.store.studies.list():
            screening, finding = node.store.screenings.latest(study.id) or (None, None)
            assert screening is not None
            assert finding is not None
            assert_names(reported(node.store, screening), finding.model)
        listed = place.json("models", "list")
        assert [item["version"] for item in listed if item["role"] == "active"] == [2]
    assert (first.model.version, first.outcome) == (1, Outcome.POSITIVE), "it began with version 1"
    assert (second.model.version, second.outcome) == (2, Outcome.NEGATIVE)
    assert {first.model.engine, second.model.engine} == {"triton"}
    assert first.model.weights_sha256 != second.model.weights_sha256


def test_a_shadow_runs_on_the_server_too(own_triton: Callable[..., Site], tmp_path: Path) -> None:
    site = own_triton(["tiny"])
    two_versions(site)
    place = installed(tmp_path / "node", site, site.tiny, 'shadow = ["tiny:2"]\n')
    with running(place) as node:
        study = scan(place, 1)
        assert answered(node, study).outcome is Outcome.POSITIVE
        row = node.store.studies.get(study).id
        wait_for(
            lambda: all(found is not None for _, found in node.store.screenings.history(row)), "the shadow"
        )
        purposes = {item.purpose: found for item, found in node.store.screenings.history(row)}
        shadow = purposes[Purpose.SHADOW]
        assert shadow is not None
        assert (shadow.model.version, shadow.outcome) == (2, Outcome.NEGATIVE)
        compared = place.json("models", "compare", "tiny:1", "tiny:2")
        assert len(compared["changed"]) == 1
        verified = place.json("reprocess", study, "--verify", "--tolerance", "1e-3", *AUDIT)
        assert (verified["differing"], verified["verified_by"]["engine"]) == ([], "openvino")
        assert verified["model"]["engine"] == "triton"


def test_weights_swapped_under_the_same_name_are_caught_before_the_next_study(
    triton: Site, tmp_path: Path
) -> None:
    place = installed(tmp_path / "node", triton, triton.gated)
    with running(place) as node:
        right = answered(node, scan(place, 1))
        try:
            triton.swap_weights(triton.gated, TinyNet(gain=3.0).onnx())
            triton.load_again(triton.gated)
            study = scan(place, 2)
            wait_for(
                lambda: any("probabilities differ" in item for item in node.health().problems),
                "the operator to be told",
            )
            assert report(node, study) is None
            assert {item.name for item in node.health().facts.models if item.problem} == {"gated"}
        finally:
            triton.swap_weights(triton.gated, triton.gated.onnx.read_bytes())
            triton.load_again(triton.gated)
        found = answered(node, study)
    assert found.outcome is right.outcome
    assert [item.probability for item in found.slices] == [item.probability for item in right.slices]


def test_a_network_is_unloaded_and_loaded_by_command(own_triton: Callable[..., Site], tmp_path: Path) -> None:
    site = own_triton(["tiny"])
    place = installed(tmp_path / "node", site, site.tiny)
    two_versions(site)

    def told(*words: str) -> str:
        answer = place.command("models", *words)
        assert answer.exit_code == 0, answer.output
        return answer.output.rpartition("served now: ")[2].strip()

    assert told("unload", "tiny:1") == "2", "the other one stays"
    assert told("load", "tiny:1") == "1, 2"
    assert told("unload", "tiny:2") == "1"
    assert told("unload", "tiny:1") == "nothing"
    assert told("load", "tiny:2") == "2", "not all that the repository names"
    assert told("unload", "tiny") == "nothing"
    with running(place) as node:
        study = scan(place, 1)
        wait_for(lambda: any("model tiny" in item for item in node.health().problems), "what is wrong")
        assert report(node, study) is None
        assert place.command("models", "check", "tiny").exit_code == ExitCode.NOT_READY
        answer = place.command("models", "load", "tiny:1")
        assert (answer.exit_code, "served now: 1\n" in answer.output) == (0, True)
        assert answered(node, study).outcome is Outcome.POSITIVE
    missing = place.command("models", "load", "tiny:7")
    assert (missing.exit_code, "not installed here" in missing.stderr) == (ExitCode.NOT_READY, True)


def test_a_node_stops_in_time_while_its_server_hangs(triton: Site, tmp_path: Path) -> None:
    place = installed(tmp_path / "node", triton, triton.gated, "canary_seconds = 0.5\n")
    clock = SystemClock()
    try:
        with running(place):
            triton.gate.shut()
            wait_for(lambda: triton.gate.holds, "a replay is at the gate")
            before = clock.monotonic()
        assert clock.monotonic() - before < 20, "a replay may take a whole minute"
    finally:
        triton.gate.open()


def test_a_node_receives_while_its_server_hangs_at_the_start(triton: Site, tmp_path: Path) -> None:
    place = installed(tmp_path / "node", triton, triton.gated)
    clock = SystemClock()
    triton.gate.shut()
    try:
        before = clock.monotonic()
        with running(place) as node:
            assert clock.monotonic() - before < 20, "a replay may take a whole minute"
            assert not node.health().ready
            study = scan(place, 1)
            triton.gate.open()
            assert answered(node, study).model.name == "gated"
    finally:
        triton.gate.open()
