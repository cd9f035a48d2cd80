"""The whole node with the real server: it screens nothing before the server was accepted, and then all."""

from __future__ import annotations

from pathlib import Path

from node.app import Node, build
from node.cli.sending import FileFate, readable, send
from node.dimse.entity import Timeouts
from node.dimse.scu import Remote
from node.domain.job import ScreeningState
from node.domain.result import Outcome
from tests.station.app_ground import SLICES, Place, install, phantom_folder, wait_for
from tests.triton_server import Site


def installed(folder: Path, site: Site) -> Place:
    """Install a node whose engine is the server."""
    place = install(folder, site.tiny)
    text = place.config.read_text().replace(
        "[infer]\n", '[infer]\nengine = "triton"\nfirst_retry_seconds = 0.2\n'
    )
    place.config.write_text(f'{text}\n[infer.triton]\nurl = "{site.running.url}"\nallow_old_server = true\n')
    return place


def scan(place: Place) -> list[FileFate]:
    fates: list[FileFate] = []
    send(
        readable(phantom_folder(place.folder / "series"), fates.append),
        remote=Remote(ae_title="GROUNDGLASS", host="127.0.0.1", port=place.port),
        calling_ae_title="CT1",
        timeouts=Timeouts(),
        on_fate=fates.append,
    )
    return fates


def latest(node: Node):
    """Return the newest screening of the one study and what was found; None before there is one."""
    studies = node.store.studies.list()
    return node.store.screenings.latest(studies[0].id) if studies else None


def test_what_is_received_waits_until_the_server_is_accepted(tmp_path: Path, triton: Site) -> None:
    place = installed(tmp_path, triton)
    node = build(place.settings)
    node.start()
    try:
        assert len(scan(place)) == SLICES
        wait_for(lambda: (found := latest(node)) and found[0].state is ScreeningState.PARKED, "a screening")
        assert latest(node)[1] is None
        health = node.health()
        assert not health.ready
        assert "was not accepted" in " ".join(health.problems)

        trial = place.command("models", "accept", "--model", "tiny")
        assert trial.exit_code == 0, trial.output
        assert "Nothing was recorded" in trial.output
        assert latest(node)[1] is None

        answer = place.command(
            "models", "accept", "--model", "tiny", "--by", "A. Engineer", "--reason", "trial"
        )
        assert answer.exit_code == 0, answer.output
        wait_for(lambda: latest(node)[1] is not None, "the screening that waited")

        finding = latest(node)[1]
        assert finding.outcome in {Outcome.POSITIVE, Outcome.NEGATIVE}
        assert finding.model.engine == "triton"
        assert finding.model.weights_sha256 == triton.tiny.weights_sha256
    finally:
        node.stop()
