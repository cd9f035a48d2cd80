"""STOW-RS against servers that answer as the standard allows, and as it does not."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from node.domain.delivery import ProofStanding
from node.domain.errors import DestinationRefused, DestinationUnavailable
from node.domain.network import Proof
from tests.station.outbox_ground import make_outbox
from tests.station.web_ground import always, outgoing, stow
from tests.web_server import Seen, WebServer, answer

DICOM_JSON = "application/dicom+json"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "object"
    made.write_bytes(bytes(range(256)) * 1000)
    return made


def response(*, failed: dict[str, int] | None = None, taken: dict[str, int] | None = None) -> bytes:
    """Return a STOW-RS response module (PS3.3 table C.12-34) in JSON."""

    def items(named: dict[str, int], reason: str) -> dict[str, Any]:
        return {
            "vr": "SQ",
            "Value": [
                {
                    "00081155": {"vr": "UI", "Value": [uid]},
                    **({reason: {"vr": "US", "Value": [code]}} if code else {}),
                }
                for uid, code in named.items()
            ],
        }

    sequences = {"00081198": items(failed or {}, "00081197"), "00081199": items(taken or {}, "00081196")}
    return json.dumps({tag: value for tag, value in sequences.items() if value["Value"]}).encode()


def json_answer(status: int, body: bytes) -> bytes:
    return answer(status, body, content_type=f"{DICOM_JSON}; charset=utf-8")


def test_an_object_goes_out_as_it_lies(path: Path) -> None:
    with WebServer(lambda _: json_answer(200, response(taken={"2.25.1": 0}))) as server:
        (reply,) = stow(f"{server.url}/dicom-web").send([outgoing(path)], may_leave=always)
    assert (reply.delivered, reply.proof) == (True, "")  # accepted; the proof is asked for
    (seen,) = server.seen
    assert (seen.method, seen.target) == ("POST", "/dicom-web/studies")
    media_type, _, rest = seen.headers["content-type"].partition("; boundary=")
    assert media_type == 'multipart/related; type="application/dicom"'
    assert seen.headers["accept"] == DICOM_JSON
    head, part, end = seen.body.split(f"--{rest}".encode())
    assert (head, end) == (b"", b"--\r\n")
    assert part == b"\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n"


def test_what_is_deflated_goes_out_inflated_where_it_is_not_taken(tmp_path: Path) -> None:
    """Explicit VR Little Endian is the one syntax that every server takes."""
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID, image.PatientID = "1.2.840.10008.5.1.4.1.1.30", "2.25.1", "P1"
    path = tmp_path / "deflated.dcm"
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.save_as(path, enforce_file_format=True)
    item = replace(outgoing(path), transfer_syntax_uid=DeflatedExplicitVRLittleEndian)
    refused = json_answer(409, response(failed={"2.25.1": 0xA900}))
    answers = iter([refused, json_answer(200, response(taken={"2.25.1": 0}))])
    with WebServer(lambda _: next(answers)) as server:
        (reply,) = stow(f"{server.url}/dicom-web").send([item], may_leave=always)
    assert reply.delivered
    first, second = (seen.body.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0] for seen in server.seen)
    assert first == path.read_bytes()
    again = dcmread(io.BytesIO(second))
    assert again.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert again == image
    with WebServer(lambda _: refused) as server:
        sender = stow(f"{server.url}/dicom-web", scratch=tmp_path / "none")
        (reply,) = sender.send([item], may_leave=always)
    assert (reply.delivered, reply.retryable) == (False, True)
    assert reply.detail == "its file cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("told", "delivered", "retryable", "detail"),
    [
        (json_answer(200, response(taken={"2.25.1": 0xB000})), True, False, "B000H warning: coercion"),
        (json_answer(202, response(taken={"2.25.1": 0})), True, False, "HTTP 202"),
        (
            json_answer(200, response(failed={"2.25.1": 0xA700})),
            False,
            True,
            "A700H refused: out of resources",
        ),
        (
            json_answer(202, response(failed={"2.25.1": 0x0122})),
            False,
            False,
            "0122H SOP class not supported",
        ),
        (json_answer(409, response(failed={"2.25.1": 0x0110})), False, True, "0110H processing failure"),
        (json_answer(409, response(failed={"2.25.1": 0xA900})), False, False, "A900H error: data set"),
        (json_answer(409, response(failed={"2.25.1": 0x0111})), True, False, "0111H duplicate"),
        (json_answer(409, response(failed={"2.25.1": 0})), False, False, "no reason given"),
        (json_answer(200, response(failed={"2.25.1": 0xB000})), False, False, "B000H"),
        (json_answer(200, response(failed={"2.25.1": 10**9})), False, False, "no reason given"),
        (json_answer(409, b"{}"), False, False, "no reason given"),
        (answer(409), False, False, "no reason given"),
        (answer(200), True, False, "no list of instances"),
        (answer(200, b"<xml/>", content_type="application/dicom+xml"), True, False, "no list of instances"),
        (json_answer(200, response(failed={"2.25.8": 0xA900})), True, False, "no list of instances"),
        (json_answer(200, b"[" * 100_000), True, False, "no list of instances"),
        (json_answer(200, b'{"00081198": {"Value": [7, null, {"00081155": []}]}}'), True, False, "no list"),
        (answer(400), False, False, "HTTP 400 Bad Request"),
        (answer(413), False, False, "HTTP 413"),
        (answer(500), False, True, "HTTP 500 Internal Server Error"),
        (answer(799), False, True, "HTTP 799"),
    ],
)
def test_the_answer_decides(path: Path, told: bytes, delivered: bool, retryable: bool, detail: str) -> None:
    with WebServer(lambda _: told) as server:
        (reply,) = stow(server.url).send([outgoing(path)], may_leave=always)
    assert (reply.delivered, reply.retryable) == (delivered, retryable)
    assert detail in reply.detail


def test_each_object_is_judged_alone_and_asked_for_alone(path: Path) -> None:
    def script(seen: Seen) -> bytes:
        return answer(500) if len(server.seen) == 2 else answer(200)

    objects = [outgoing(path, number) for number in (1, 2, 3, 4)]
    asked = []

    def may_leave(item: object) -> bool:
        asked.append(len(server.seen))
        return item is not objects[2]

    with WebServer(script) as server:
        replies = stow(server.url).send(objects, may_leave=may_leave)
    assert [(reply.delivery_id, reply.delivered) for reply in replies] == [(1, True), (2, False), (4, True)]
    assert asked == [0, 1, 2, 2]  # right before each


def test_a_server_that_goes_away_leaves_the_rest(path: Path) -> None:
    def script(seen: Seen) -> bytes:
        return answer(200) if len(server.seen) == 1 else answer(503)

    with WebServer(script) as server:
        replies = stow(server.url).send([outgoing(path, n) for n in (1, 2, 3)], may_leave=always)
    assert [(reply.delivered, reply.retryable) for reply in replies] == [(True, False), (False, True)]


def test_an_object_that_a_server_cannot_stand_stops_no_other(tmp_path: Path) -> None:
    outbox = make_outbox(tmp_path / "node", ("web",))
    first, *_ = (item.sop_instance_uid.encode() for item in outbox.deliveries("web"))
    with WebServer(lambda seen: [] if first in seen.body else answer(200)) as server:
        courier = outbox.courier(stow(server.url, proof=Proof.NONE))
        assert [courier.run_once("web"), courier.run_once("web")] == [0, 2]
        assert outbox.states("web") == ["pending", "sent", "sent"]
        assert outbox.deliveries("web")[0].attempts == 1  # so that a withdrawal is told of, too
        for _ in range(5):
            outbox.clock.at += timedelta(hours=1)
            courier.run_once("web")
    assert outbox.states("web") == ["refused", "sent", "sent"]
    outbox.store.close()


def test_a_file_that_is_gone_concerns_itself_alone(path: Path) -> None:
    objects = [outgoing(path.with_name("gone"), 1), outgoing(path, 2)]
    with WebServer(lambda _: answer(200)) as server:
        first, second = stow(server.url).send(objects, may_leave=always)
    assert (first.delivered, first.retryable, second.delivered) == (False, True, True)


def instance(uid: str) -> bytes:
    return json.dumps([{"00080018": {"vr": "UI", "Value": [uid]}}]).encode()


FOUND = json_answer(200, instance("2.25.1"))


@pytest.mark.parametrize(
    ("qido", "wado", "standing", "method"),
    [
        (FOUND, answer(500), ProofStanding.PROVEN, "QIDO-RS"),
        (json_answer(200, b"[]"), FOUND, ProofStanding.PROVEN, "WADO-RS"),
        (answer(404), FOUND, ProofStanding.PROVEN, "WADO-RS"),
        (json_answer(200, b"[]"), answer(404), ProofStanding.MISSING, "QIDO-RS"),
        (answer(204), answer(404), ProofStanding.MISSING, "QIDO-RS"),
        (json_answer(200, instance("2.25.2")), answer(404), ProofStanding.MISSING, "QIDO-RS"),
        (answer(404), answer(404), ProofStanding.UNPROVABLE, ""),
        (answer(403), answer(403), ProofStanding.UNPROVABLE, ""),
        (answer(200, b"<html/>", content_type="text/html"), answer(404), ProofStanding.UNPROVABLE, ""),
        (answer(500), answer(404), ProofStanding.ASKED, ""),
        (json_answer(200, b"[]"), answer(500), ProofStanding.ASKED, ""),
    ],
)
def test_what_was_accepted_is_looked_for(
    path: Path, qido: bytes, wado: bytes, standing: ProofStanding, method: str
) -> None:
    with WebServer(lambda seen: wado if seen.target.endswith("/metadata") else qido) as server:
        (proof,) = stow(server.url).prove([outgoing(path)], transaction_uid="2.25.7", asked=0)
    assert (proof.standing, proof.method) == (standing, method)
    assert server.seen[0].target == "/studies/1.2.3.4/series/2.25.99/instances?SOPInstanceUID=2.25.1"


def test_what_was_found_counts_though_the_server_is_lost_later(path: Path) -> None:
    def script(seen: Seen) -> bytes:
        return FOUND if len(server.seen) == 1 else answer(503)

    objects = [outgoing(path, number) for number in (1, 2, 3)]
    with WebServer(script) as server:
        proofs = stow(server.url).prove(objects, transaction_uid="2.25.7", asked=0)
        assert len(server.seen) == 2
        with pytest.raises(DestinationUnavailable):
            stow(server.url).prove(objects, transaction_uid="2.25.7", asked=0)
    standings = [proof.standing for proof in proofs]
    assert standings == [ProofStanding.PROVEN, ProofStanding.ASKED, ProofStanding.ASKED]


@pytest.mark.parametrize("study", ["..", "1.2/../../x", "1.2?x=1", "", "1.2 3"])
def test_no_text_of_a_peer_becomes_part_of_an_address(path: Path, study: str) -> None:
    with WebServer(lambda _: answer(404)) as server:
        (proof,) = stow(server.url).prove([outgoing(path, study=study)], transaction_uid="2.25.7", asked=0)
    assert proof.standing is ProofStanding.UNPROVABLE
    assert server.seen == []


def test_without_proof_nothing_is_asked(path: Path) -> None:
    with WebServer(lambda _: answer(404)) as server:
        (proof,) = stow(server.url, proof=Proof.NONE).prove(
            [outgoing(path)], transaction_uid="2.25.7", asked=0
        )
    assert proof.standing is ProofStanding.UNPROVABLE
    assert server.seen == []


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (lambda _: json_answer(200, b"[]"), None),
        (lambda _: answer(204), None),
        (lambda seen: answer(400 if seen.method == "POST" else 404), None),  # stores, searches nothing
        (lambda _: answer(404), DestinationUnavailable),
        (lambda _: answer(500), DestinationRefused),
        (lambda _: answer(401), DestinationUnavailable),
    ],
)
def test_an_echo_asks_for_what_nobody_has(script: object, error: type[Exception] | None) -> None:
    with WebServer(script) as server:
        if error is None:
            stow(server.url).echo()
        else:
            with pytest.raises(error):
                stow(server.url).echo()
    assert server.seen[0].target.endswith("&limit=1")
