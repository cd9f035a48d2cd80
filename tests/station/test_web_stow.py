"""STOW-RS: what comes by HTTP is stored as it came, and each instance is answered for."""

from __future__ import annotations

import http.client
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    VLWholeSlideMicroscopyImageStorage,
)

from node.domain.identity import derived_uid
from node.domain.network import SecretSource
from tests.station.receiving_node import wait_until, write_instance
from tests.station.stow_ground import BOUNDARY, LIMITS, TOKEN, TYPE, Serving, body_of, head_of, serving
from tests.station.web_ground import always, outgoing, stow

STORED, FAILED, OTHERS, URL = "00081199", "00081198", "0008119A", "00081190"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": TYPE}
STUDY_UID, SERIES_UID = derived_uid("test", "study", "1"), derived_uid("test", "series", "1")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("web") / "data") as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_is_left(web: Serving) -> Iterator[None]:
    yield
    wait_until(lambda: web.open_associations() == 0, "every association has an end")
    assert web.spooled() == []


def post(
    web: Serving, body: bytes | Iterator[bytes], path: str = "/studies", **headers: str
) -> httpx.Response:
    changed = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.Client(verify=False) as client:  # certificates to compare with take long to load
        return client.post(web.base + path, content=body, headers=changed)


def values(item: dict, tag: str) -> list:
    return item.get(tag, {}).get("Value", [])


def named(answer: dict, sequence: str) -> list[str]:
    return [values(item, "00081155")[0] for item in values(answer, sequence)]


def reasons(answer: dict, sequence: str = FAILED) -> list[int]:
    return [values(item, "00081197")[0] for item in values(answer, sequence)]


def instance(tmp_path: Path, number: int, **changes: object) -> tuple[bytes, str]:
    path, uid = write_instance(tmp_path / f"{number}.dcm", number, **changes)
    return path.read_bytes(), uid


def test_every_instance_is_stored_as_it_came_and_answered_for_in_order(web: Serving, tmp_path: Path) -> None:
    syntaxes = [None, ImplicitVRLittleEndian, ExplicitVRBigEndian, JPEG2000Lossless, None, None, None, None]
    made = [
        instance(tmp_path, number, **({"transfer_syntax": syntax} if syntax else {}))
        for number, syntax in enumerate(syntaxes, start=100)
    ]
    response = post(web, body_of(data for data, _ in made))
    assert (response.status_code, response.headers["content-type"]) == (200, "application/dicom+json")
    answer = response.json()
    assert named(answer, STORED) == [uid for _, uid in made]
    study = f"{web.base}/studies/{STUDY_UID}"
    assert values(answer, URL) == [study]
    assert [values(item, URL)[0] for item in values(answer, STORED)] == [
        f"{study}/series/{SERIES_UID}/instances/{uid}" for _, uid in made
    ]
    for (data, uid), item in zip(made, values(answer, STORED), strict=True):
        with web.store.database.read() as connection:
            query = f"SELECT object_key FROM instances WHERE sop_instance_uid = '{uid}'"
            path = web.store.files.path(connection.exec_driver_sql(query).scalar_one())
        kept, sent = path.read_bytes(), tmp_path / "sent.dcm"
        sent.write_bytes(data)
        assert dcmread(path) == dcmread(sent)
        assert kept.endswith(data[-4000:])
        assert dcmread(path).file_meta.TransferSyntaxUID == dcmread(sent).file_meta.TransferSyntaxUID
        assert values(item, "00081150") == [dcmread(sent).SOPClassUID]


def test_what_cannot_be_stored_is_named_with_its_reason_and_hinders_nothing_else(
    web: Serving, tmp_path: Path
) -> None:
    good, uid = instance(tmp_path, 200)
    large, large_uid = instance(tmp_path, 201, pixel_bytes=LIMITS.object_bytes + 1024)
    short, short_uid = instance(tmp_path, 202)
    other, other_uid = instance(tmp_path, 203)
    renamed = other.replace(
        other_uid.encode(), (other_uid[:-1] + str((int(other_uid[-1]) + 1) % 10)).encode(), 1
    )
    private, private_uid = instance(tmp_path, 204, sop_class="1.2.3.4.5.6.7.8.9.1")
    syntax, syntax_uid = instance(tmp_path, 205)
    unknown = syntax.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.9.1\0", 1)
    last, last_uid = instance(tmp_path, 206)
    parts = [good, large, short[:-50], renamed, private, unknown, b"", b"no DICOM file", good[:140], last]
    response = post(web, body_of(parts))
    assert response.status_code == 202
    answer = response.json()
    assert named(answer, STORED) == [uid, last_uid]
    renamed_uid = other_uid[:-1] + str((int(other_uid[-1]) + 1) % 10)
    assert named(answer, FAILED) == [large_uid, short_uid, renamed_uid, private_uid, syntax_uid]
    assert reasons(answer) == [0xA700, 0xC000, 0xA900, 0x0122, 0xC122]
    assert reasons(answer, OTHERS) == [0xC000, 0xC000, 0xC000]
    assert {uid, last_uid} <= web.stored()
    assert web.stored().isdisjoint({large_uid, short_uid, other_uid, renamed_uid, private_uid, syntax_uid})


def test_an_instance_of_another_study_is_refused(web: Serving, tmp_path: Path) -> None:
    here, uid = instance(tmp_path, 300)
    there, there_uid = instance(tmp_path, 301, study="2")
    response = post(web, body_of([here, there]), f"/studies/{STUDY_UID}")
    assert response.status_code == 202
    assert (named(response.json(), STORED), named(response.json(), FAILED)) == ([uid], [there_uid])
    assert reasons(response.json()) == [0xA900]
    assert there_uid not in web.stored()
    response = post(web, body_of([there]), f"/studies/{STUDY_UID}")
    assert response.status_code == 409
    assert (values(response.json(), URL), values(response.json(), STORED)) == ([], [])


def test_one_instance_alone_and_one_again_and_two_studies(web: Serving, tmp_path: Path) -> None:
    data, uid = instance(tmp_path, 400)
    for _ in range(2):
        response = post(web, data, Content_Type="application/dicom")
        assert (response.status_code, named(response.json(), STORED)) == (200, [uid])
    other, other_uid = instance(tmp_path, 401, study="3")
    response = post(web, body_of([data, other, data]))
    assert (response.status_code, named(response.json(), STORED)) == (200, [uid, other_uid, uid])
    assert values(response.json(), URL) == []


def test_what_is_kept_aside_is_led_to_by_no_url(web: Serving, tmp_path: Path) -> None:
    first, uid = instance(tmp_path, 320)
    assert post(web, body_of([first])).status_code == 200

    response = post(web, body_of([first[:-2] + b"\x7f\x7f"]))

    assert response.status_code == 200
    (answered,) = values(response.json(), STORED)
    assert (values(answered, "00081155"), values(answered, URL)) == ([uid], [])


def test_the_answer_comes_in_the_form_that_is_accepted(web: Serving, tmp_path: Path) -> None:
    data, uid = instance(tmp_path, 500)
    response = post(web, body_of([data, b"x"]), Accept="application/dicom+xml")
    assert response.headers["content-type"] == "application/dicom+xml"
    space = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
    root = ElementTree.fromstring(response.text)
    found = {item.get("keyword"): item for item in root.iter(f"{space}DicomAttribute")}
    assert [value.text for value in found["ReferencedSOPInstanceUID"].iter(f"{space}Value")] == [uid]
    assert [value.text for value in found["FailureReason"].iter(f"{space}Value")] == [str(0xC000)]
    assert post(web, body_of([data]), Accept="application/json").headers["content-type"] == "application/json"
    best = "text/html, application/dicom+xml;q=0.1, application/*;q=0.9"
    assert post(web, body_of([data]), Accept=best).headers["content-type"] == "application/dicom+json"
    refused, refused_uid = instance(tmp_path, 501)
    assert post(web, body_of([refused]), Accept="text/html, image/*").status_code == 406
    assert refused_uid not in web.stored()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": f'multipart/related; type="application/dicom+json"; boundary={BOUNDARY}'}, 415),
        ({"Content_Type": f"multipart/form-data; boundary={BOUNDARY}"}, 415),
        ({"Content_Encoding": "gzip"}, 415),
        ({"Content_Type": ""}, 400),
        ({"Content_Type": 'multipart/related; type="application/dicom"'}, 400),
        ({"Content_Type": TYPE.replace(BOUNDARY, '"' + "b" * 129 + '"')}, 400),
        ({"Content_Type": TYPE.replace(BOUNDARY, "another")}, 400),
        ({"Content_Type": TYPE + ", " + TYPE}, 400),
        ({"Accept": "a/b/c"}, 400),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Host": "h\\x"}, 400),
    ],
)
def test_requests_that_are_refused_store_nothing(
    web: Serving, tmp_path: Path, changes: dict[str, str], status: int
) -> None:
    data, uid = instance(tmp_path, 600)
    assert post(web, body_of([data]), **changes).status_code == status
    assert uid not in web.stored()


@pytest.mark.parametrize(
    "path", ["/studies/1.2.x", "/studies/..%2f..%2fetc", "/studies/' OR 1=1", "/studies/01.2"]
)
def test_paths_that_name_no_study_are_refused(web: Serving, tmp_path: Path, path: str) -> None:
    data, uid = instance(tmp_path, 700)
    response = post(web, body_of([data]), path)
    assert response.status_code in {400, 404}
    assert path.rpartition("/")[2] not in response.text
    assert uid not in web.stored()


def test_what_was_whole_before_a_body_became_malformed_is_stored_and_named(
    web: Serving, tmp_path: Path
) -> None:
    made = [instance(tmp_path, number) for number in (800, 801, 802)]
    body = body_of(data for data, _ in made)
    response = post(web, body[: -len(BOUNDARY) - 300])  # within the last instance
    assert response.status_code == 400
    assert named(response.json(), STORED) == [uid for _, uid in made[:2]]
    assert made[2][1] not in web.stored()
    for nothing in (b"", b"--", body_of([]), b"x" * 100_000, f"--{BOUNDARY}\r\n".encode()):
        assert post(web, nothing).status_code == 400


def test_a_body_without_end_is_given_up_and_what_was_whole_is_stored(web: Serving, tmp_path: Path) -> None:
    made = [instance(tmp_path, number) for number in range(900, 900 + LIMITS.parts + 1)]
    response = post(web, body_of(data for data, _ in made))
    assert response.status_code == 413
    assert named(response.json(), STORED) == [uid for _, uid in made[: LIMITS.parts]]
    assert post(web, body_of([b"x"] * 50_000)).status_code == 413
    assert post(web, b"x" * (LIMITS.request_bytes + 1)).status_code == 413
    pieces = [f"--{BOUNDARY}\r\n\r\n".encode(), *[bytes(1 << 20)] * 9]
    assert post(web, (piece for piece in pieces)).status_code == 413


@given(st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damaged_request_brings_a_failure(
    web: Serving, tmp_path: Path, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    body = body_of([instance(tmp_path, 5000)[0][:3000], b"x" * 50])
    request = bytearray(head_of(len(body)) + body)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(request) - 1))
        request[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    answered = web.raw([bytes(request)], shut=True)
    assert not answered or 200 <= int(answered.split()[1]) < 500
    assert [item for item in caplog.records if item.levelno >= logging.ERROR] == []


def test_a_client_that_goes_away_leaves_nothing_half(web: Serving, tmp_path: Path) -> None:
    data, uid = instance(tmp_path, 1000)
    rest, rest_uid = instance(tmp_path, 1001)
    body = body_of([data, rest])
    for length in (1, 100, 2000, len(body) - 200):
        assert web.raw([head_of(len(body)), body[:length]], shut=True) == b""
    wait_until(lambda: web.open_associations() == 0, "every association has an end")
    assert rest_uid not in web.stored()
    response = post(web, body)
    assert (response.status_code, named(response.json(), STORED)) == (200, [uid, rest_uid])


def test_many_clients_at_once_get_their_own_answers(web: Serving, tmp_path: Path) -> None:
    bodies = []
    for client in range(32):
        made = [instance(tmp_path, 2000 + 3 * client + number) for number in range(3)]
        bodies.append((body_of(data for data, _ in made), [uid for _, uid in made]))
    with ThreadPoolExecutor(32) as clients:
        answers = list(clients.map(lambda item: post(web, item[0]), bodies))
    assert [(answer.status_code, named(answer.json(), STORED)) for answer in answers] == [
        (200, uids) for _, uids in bodies
    ]


def test_a_kept_connection_serves_on_after_every_answer(web: Serving, tmp_path: Path) -> None:
    data, _uid = instance(tmp_path, 3000)
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)
    for body, changes, status in (
        (body_of([data]), {}, 200),
        (body_of([b"x" * 200_000]), {}, 409),
        (body_of([data, b"x" * 200_000]), {"Content-Type": "text/plain"}, 415),
        (b"x" * 300_000, {}, 400),
        (body_of([data]), {}, 200),
    ):
        connection.request("POST", "/dicom-web/studies", body=body, headers=HEADERS | changes)
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (status, True)
    connection.close()


def test_nothing_of_patients_or_of_what_was_sent_is_logged_or_answered(
    web: Serving, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, uid = instance(tmp_path, 3100, patient_id="SECRET-ID")
    with caplog.at_level(logging.DEBUG):
        answers = [
            post(web, body_of([data[:-9]])),
            post(web, body_of([data], head=b"Content-Type: <script>")),
            post(web, body_of([data], head=b"Content-Transfer-Encoding: base64")),
            post(web, body_of([data], head=b"<script>")),
            post(web, body_of([data]), "/studies/<script>"),
            post(web, body_of([data]), Content_Type="<script>"),
        ]
    assert [answer.status_code for answer in answers] == [409, 409, 409, 400, 400, 400]
    for text in [caplog.text, *(answer.text for answer in answers)]:
        assert not any(secret in text for secret in ("SECRET", "Person", "<script>", str(tmp_path)))
    assert uid not in web.stored()


def test_dicomweb_client_stores(web: Serving, tmp_path: Path) -> None:
    paths = [write_instance(tmp_path / f"{number}.dcm", number) for number in (4000, 4001)]
    client = DICOMwebClient(web.base, headers={"Authorization": f"Bearer {TOKEN}"})
    answer = client.store_instances([dcmread(path) for path, _ in paths], study_instance_uid=STUDY_UID)
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [
        uid for _, uid in paths
    ]


def test_another_node_delivers_by_its_own_sender(web: Serving, tmp_path: Path) -> None:
    good, uid = write_instance(tmp_path / "good.dcm", 4200)
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(good.read_bytes()[:-10])
    token = tmp_path / "token"
    token.write_text(TOKEN)
    sender = stow(web.base, token=SecretSource(file=token))
    sender.echo()
    items = [replace(outgoing(path, number), sop_instance_uid=uid) for number, path in enumerate((good, bad))]
    replies = sender.send(items, may_leave=always)
    assert [(reply.delivered, reply.retryable) for reply in replies] == [(True, False), (False, False)]
    assert "C000H" in replies[1].detail


def test_a_whole_slide_image_of_many_pieces_passes_through(web: Serving, tmp_path: Path) -> None:
    data, uid = instance(
        tmp_path, 4100, sop_class=VLWholeSlideMicroscopyImageStorage, pixel_bytes=1_000_000 // 128 * 128
    )
    body = body_of([data])
    pieces = [
        b"%x\r\n%b\r\n" % (len(piece), piece)
        for piece in (body[at : at + 7919] for at in range(0, len(body), 7919))
    ]
    answered = web.raw([head_of(None), *pieces, b"0\r\n\r\n"])
    head, _, text = answered.partition(b"\r\n\r\n")
    assert head.split()[1] == b"200"
    assert named(json.loads(text), STORED) == [uid]
