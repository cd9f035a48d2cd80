"""Archives that answer badly: nothing of it is stored, nothing is lost, and what is whole comes anyway."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.dimse.scu import Remote
from node.domain.archives import PullState
from node.domain.identity import derived_uid
from node.domain.study import AssociationEnd
from node.fetching import Fetching
from node.settings.loading import load
from node.settings.settings import Settings
from tests.station.finding_ground import VIEWER
from tests.station.pull_ground import FetchingNode, fetching_node
from tests.station.receiving_node import AE_TITLE, WallClock, send_files, write_instance
from tests.web_server import Seen, WebServer, answer

STUDY, SERIES = derived_uid("test", "study", "1"), derived_uid("test", "series", "1")
SETTINGS = """
[[archives]]
kind = "dicomweb"
name = "web"
url = "{url}"
connect_seconds = 1.5

[[polls]]
name = "chest"
archive = "web"

[pull]
first_retry_seconds = 0.000001
short_attempts = 2
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FetchingNode]:
    with fetching_node(tmp_path / "node") as running:
        yield running


def settings_for(tmp_path: Path, url: str) -> Settings:
    config = tmp_path / "groundglass.toml"
    config.write_text(SETTINGS.format(url=url))
    return load(config, {})


def element(vr: str, *values: object) -> dict[str, object]:
    return {"vr": vr, "Value": list(values)}


def found(matches: list[dict[str, object]]) -> bytes:
    return answer(200, json.dumps(matches).encode(), content_type="application/dicom+json")


def part(content: bytes, *, ends: bytes = b"\r\n--b--\r\n") -> bytes:
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content + ends
    return answer(200, body, content_type='multipart/related; type="application/dicom"; boundary=b')


def test_objects_that_are_none_keep_no_whole_one_back(node: FetchingNode, tmp_path: Path) -> None:
    made = [write_instance(tmp_path / f"{number}.dcm", number) for number in range(6)]
    whole = {uid: path.read_bytes() for path, uid in made}
    uids = list(whole)
    bad = {
        uids[0]: part(whole[uids[0]][:3000]),  # ends too early
        uids[1]: part(whole[uids[2]]),  # another object than was asked for
        uids[2]: part(whole[uids[2]], ends=b""),  # the part has no end
        uids[3]: answer(404),
        uids[4]: answer(200, b"<html>", content_type="text/html"),
    }

    def serve(seen: Seen) -> bytes:
        path = seen.target.partition("?")[0]
        if path == "/studies":  # pages are ignored
            return found([{"0020000D": element("UI", STUDY)}, {"0020000D": element("UI", "../1")}, {}])
        if path.endswith("/series"):
            return found([{"0020000E": element("UI", SERIES), "00080060": element("CS", "CT")}])
        if path.endswith("/instances"):
            return found([{"00080018": element("UI", uid)} for uid in uids])
        uid = path.rpartition("/")[2]
        return bad.get(uid) or part(whole[uid])

    with WebServer(serve) as server:
        progress = node.pull(settings_for(tmp_path, server.url), "web", study_instance_uids=(STUDY,))
    assert progress.pull.state is PullState.SHORT
    assert "5 of 6 instances did not come" in progress.problem
    assert set(node.stored()) == {uids[5]}
    assert set(node.ends()) == {AssociationEnd.RELEASED}
    assert list((node.root / "spool").iterdir()) == []


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        (answer(503), PullState.SEARCHING),
        (answer(401), PullState.SEARCHING),
        (answer(400), PullState.FAILED),
        (answer(200, b"[", content_type="application/dicom+json"), PullState.FAILED),
        (answer(200, b"{}", content_type="application/dicom+json"), PullState.FAILED),
        (answer(302, Location="http://elsewhere.example/"), PullState.SEARCHING),
        (answer(204), PullState.DONE),
    ],
)
def test_a_search_that_is_not_answered_is_made_again_or_given_up(
    node: FetchingNode, tmp_path: Path, reply: bytes, state: PullState
) -> None:
    with WebServer(lambda _: reply) as server:
        settings = settings_for(tmp_path, server.url).model_copy(
            update={"pull": load(None, {"GROUNDGLASS_PULL__FIRST_RETRY_SECONDS": "60"}).pull}
        )
        progress = node.pull(settings, "web", patient_id="P1")
    assert (progress.pull.state, progress.series) == (state, 0)
    assert node.stored() == {}


def test_an_archive_that_breaks_off_leaves_a_broken_association(node: FetchingNode, tmp_path: Path) -> None:
    path, uid = write_instance(tmp_path / "1.dcm")

    def serve(seen: Seen) -> bytes:
        where = seen.target.partition("?")[0]
        if where == "/studies":
            return found([{"0020000D": element("UI", STUDY)}])
        if where.endswith("/series"):
            return found([{"0020000E": element("UI", SERIES)}])
        if where.endswith("/instances"):
            return found([{"00080018": element("UI", uid)}])
        return part(path.read_bytes())[:-2000]  # fewer bytes than the head of the answer says

    with WebServer(serve) as server:
        settings = settings_for(tmp_path, server.url).model_copy(
            update={"pull": load(None, {"GROUNDGLASS_PULL__FIRST_RETRY_SECONDS": "60"}).pull}
        )
        progress = node.pull(settings, "web", study_instance_uids=(STUDY,))
    assert progress.pull.state is PullState.FETCHING
    assert node.ends() == [AssociationEnd.ABORTED]
    assert list((node.root / "spool").iterdir()) == []


def serve_studies(*studies: str, bad: str) -> Callable[[Seen], bytes]:
    """Return what shows studies with one series of two instances each, and of one study nothing."""
    series_of = {derived_uid("test", "study", item): derived_uid("test", "series", item) for item in studies}

    def serve(seen: Seen) -> bytes:
        path = seen.target.partition("?")[0]
        if path == "/studies":
            return found([{"0020000D": element("UI", uid)} for uid in series_of])
        uid = path.split("/")[2]
        if uid == derived_uid("test", "study", bad):
            return answer(400)
        told = {"0020000E": element("UI", series_of[uid]), "00080060": element("CS", "CT")}
        return found([{**told, "00201209": element("IS", 2)}])

    return serve


def test_a_study_of_which_nothing_is_told_keeps_no_other_one_back(node: FetchingNode, tmp_path: Path) -> None:
    remote = Remote(ae_title=VIEWER, host="127.0.0.1", port=node.port)
    made = [write_instance(tmp_path / f"{item}.dcm", study=item)[0] for item in "123"]
    with WebServer(serve_studies("1", "2", "3", bad="2")) as server:
        ticks = node.fetching(settings_for(tmp_path, server.url))
        assert [ticks["poll chest"](), ticks["poll chest"]()] == [2, 0]
        send_files(remote, *made, calling_ae_title=AE_TITLE)
        ticks["count"]()
        (contact,) = node.store.archives.contacts()
    assert "400" in contact.detail
    uids = [derived_uid("test", "series", item) for item in "123"]
    counted = node.store.archives.largest_counts(uids, ["web"])
    assert [uid in counted for uid in uids] == [True, False, True]


def test_an_object_of_another_study_is_not_taken(node: FetchingNode, tmp_path: Path) -> None:
    path, uid = write_instance(tmp_path / "other.dcm", study="2")

    def serve(seen: Seen) -> bytes:
        where = seen.target.partition("?")[0]
        if where == "/studies":
            return found([{"0020000D": element("UI", STUDY)}])
        if where.endswith("/series"):
            return found([{"0020000E": element("UI", SERIES)}])
        if where.endswith("/instances"):
            return found([{"00080018": element("UI", uid)}])
        return part(path.read_bytes())

    with WebServer(serve) as server:
        progress = node.pull(settings_for(tmp_path, server.url), "web", study_instance_uids=(STUDY,))
    assert progress.pull.state is PullState.SHORT
    assert "StudyInstanceUID" in progress.problem
    assert node.stored() == {}


def test_a_node_that_stops_asks_nothing_more(node: FetchingNode, tmp_path: Path) -> None:
    tell = serve_studies("1", "2", "3", bad="")

    def serve(seen: Seen) -> bytes:
        if seen.target.partition("?")[0].endswith("/series"):
            fetching.stop()
        return tell(seen)

    with WebServer(serve) as server:
        settings = settings_for(tmp_path, server.url)
        fetching = Fetching(settings, node.store, node.storage, clock=WallClock(), jitter=lambda: 0.0)
        for tick in fetching.ticks():
            tick.action()
        asked = [seen.target.partition("?")[0] for seen in server.seen]
    assert asked[0] == "/studies"
    assert [path.rpartition("/")[2] for path in asked].count("series") == 1


def test_a_study_that_grows_is_looked_at_again_though_its_archive_tells_no_number(
    node: FetchingNode, tmp_path: Path
) -> None:
    grown = 2

    def serve(seen: Seen) -> bytes:
        where = seen.target.partition("?")[0]
        if where == "/studies":
            return found([{"0020000D": element("UI", STUDY)}])
        if where.endswith("/series"):
            return found([{"0020000E": element("UI", SERIES), "00080060": element("CS", "CT")}])
        return found([{"00080018": element("UI", f"{SERIES}.{number}")} for number in range(grown)])

    with WebServer(serve) as server:
        poll = node.fetching(settings_for(tmp_path, server.url))["poll chest"]
        assert [poll(), poll()] == [1, 0]
        grown = 3
        let_a_day_pass(node, "grown_at")
        assert poll() == 0, "its images were the same twice, a day apart: they are not counted for a day"
        let_a_day_pass(node, "seen_at")
        assert poll() == 1


def let_a_day_pass(node: FetchingNode, column: str) -> None:
    with node.store.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE polled_studies SET {column} = datetime({column}, '-1 day')")


def test_an_object_that_never_ends_is_left_when_its_pull_is_cancelled(
    node: FetchingNode, tmp_path: Path
) -> None:
    path, uid = write_instance(tmp_path / "1.dcm")
    never, left = threading.Event(), threading.Event()

    def endless() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 x\r\nContent-Length: 1000000000\r\nContent-Type: multipart/related;"
        yield b' type="application/dicom"; boundary=b\r\n\r\n--b\r\nContent-Type: application/dicom\r\n\r\n'
        yield path.read_bytes()
        node.store.pulls.cancel(1)
        try:
            while True:
                never.wait(0.005)
                yield bytes(4096)
        finally:
            left.set()

    def serve(seen: Seen) -> bytes | Iterator[bytes]:
        where = seen.target.partition("?")[0]
        if where == "/studies":
            return found([{"0020000D": element("UI", STUDY)}])
        if where.endswith("/series"):
            return found([{"0020000E": element("UI", SERIES)}])
        return found([{"00080018": element("UI", uid)}]) if where.endswith("/instances") else endless()

    with WebServer(serve) as server:
        settings = settings_for(tmp_path, server.url)
        pull = settings.pull.model_copy(update={"look_seconds": 0.02, "cancel_seconds": 0.05})
        progress = node.pull(settings.model_copy(update={"pull": pull}), "web", study_instance_uids=(STUDY,))
    assert progress.pull.state is PullState.CANCELLED
    assert node.ends() == [AssociationEnd.ABORTED]
    assert list((node.root / "spool").iterdir()) == []
    assert left.wait(10)
