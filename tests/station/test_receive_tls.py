"""Associations over TLS: who comes in, who does not, and that silence holds nobody up."""

from __future__ import annotations

import errno
import hashlib
import logging
import re
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.presentation import build_context

from node.dimse.admission import ANOTHER_CERTIFICATE, WITHOUT_TLS, Admission
from node.dimse.certificates import TlsPort
from node.dimse.scu import echo, open_association
from node.domain.errors import (
    CertificateError,
    CertificateExpired,
    CertificateMismatch,
    CertificateMissing,
    CertificateUnreadable,
    DestinationUnavailable,
    DestinationUntrusted,
)
from node.domain.network import Peer, Right
from tests.certificates import Signed
from tests.station.receiving_node import (
    AE_TITLE,
    PEERS,
    SCANNER,
    TIMEOUTS,
    Receiving,
    send_files,
    start_receiving,
    wait_until,
    write_instance,
)
from tests.station.test_receive_associations import store_fragments
from tests.station.tls_ground import Certificates, over_tls, receiving_over_tls, shaken


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def node(tmp_path: Path, made: Certificates) -> Iterator[Receiving]:
    bound = replace(PEERS[0], ae_title="BOUND", certificates=frozenset({"dns:ct1.example"}))
    other = replace(bound, ae_title="OTHER", certificates=frozenset({"cn:mr1", f"sha256:{'0' * 64}"}))
    gate = Admission(AE_TITLE, [*PEERS, bound, other])
    with receiving_over_tls(tmp_path / "node", made.listen(), gate) as started:
        yield started


def deny(path: Path, mode: str = "r") -> None:
    raise PermissionError(errno.EACCES, f"Permission denied, {mode}", str(path))


def greet(node: Receiving, made: Certificates, own: Signed | None, calling: str = SCANNER) -> None:
    echo(over_tls(node, made.call(own)), calling_ae_title=calling, timeouts=TIMEOUTS)


def test_objects_come_whole_over_tls(node: Receiving, made: Certificates, tmp_path: Path) -> None:
    large = write_instance(tmp_path / "large.dcm", 1, pixel_bytes=768 * 1024)
    files = [large, *(write_instance(tmp_path / f"{number}.dcm", number) for number in range(2, 6))]

    answers = send_files(over_tls(node, made.call(made.scanner)), *(path for path, _ in files))

    assert all(answer.delivered for answer in answers)
    for _, uid in files:
        content, sha256 = node.stored(uid)
        assert hashlib.sha256(content).hexdigest() == sha256
    wait_until(lambda: node.ends() == ["released"], "the release is recorded")
    assert send_files(node.remote, large[0])[0].delivered, "the plain port is open, too"


def test_the_reactors_of_the_library_read_over_tls_too(tmp_path: Path, made: Certificates) -> None:
    files = [write_instance(tmp_path / f"{number}.dcm", number)[0] for number in range(3)]
    with receiving_over_tls(tmp_path / "node", made.listen(), prompt=False) as node:
        answers = send_files(over_tls(node, made.call(made.scanner)), *files)
        assert [answer.delivered for answer in answers] == [True] * 3
        assert node.instance_count() == 3


def test_who_shows_no_certificate_or_a_wrong_one_is_not_heard(
    node: Receiving, made: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "node")
    for own in (None, made.foreign):
        with pytest.raises(DestinationUntrusted, match=r"refused the certificate|ended within"):
            greet(node, made, own)
    with pytest.raises(DestinationUntrusted, match=r"certificate has expired.*renew it"):
        greet(node, made, made.expired)
    elsewhere = over_tls(node, made.call(made.scanner, ca_file=made.foreign.certificate))
    with pytest.raises(DestinationUntrusted, match=r"not trusted .*see ca_file"):
        echo(elsewhere, calling_ae_title=SCANNER, timeouts=TIMEOUTS)
    unlisted = replace(over_tls(node, made.call(made.scanner)), host="localhost")
    with pytest.raises(DestinationUntrusted, match="not one for this host"):
        echo(unlisted, calling_ae_title=SCANNER, timeouts=TIMEOUTS)
    wait_until(lambda: "showed no certificate" in caplog.text, "the node tells its operator")
    assert "certificate is not trusted" in caplog.text
    assert not node.ends()


def test_an_ae_title_may_be_bound_to_a_certificate(
    node: Receiving, made: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    greet(node, made, made.scanner, "BOUND")
    for calling, remote, reason in (
        ("OTHER", over_tls(node, made.call(made.scanner)), ANOTHER_CERTIFICATE),
        ("BOUND", over_tls(node, made.call(made.node)), ANOTHER_CERTIFICATE),
        ("BOUND", node.remote, WITHOUT_TLS),
    ):
        caplog.clear()
        with pytest.raises(DestinationUnavailable, match="rejected the association"):
            echo(remote, calling_ae_title=calling, timeouts=TIMEOUTS)
        assert f"association of '{calling}' from 127.0.0.1 refused: {reason}" in caplog.text


def test_neither_port_takes_what_is_for_the_other(
    node: Receiving, made: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "node")
    with pytest.raises(DestinationUntrusted, match="without TLS"):
        echo(replace(node.remote, tls=made.call(made.scanner)), calling_ae_title=SCANNER, timeouts=TIMEOUTS)
    with pytest.raises(DestinationUnavailable):
        echo(replace(over_tls(node, made.call(None)), tls=None), calling_ae_title=SCANNER, timeouts=TIMEOUTS)
    wait_until(
        lambda: "no TLS with 127.0.0.1: the other side speaks without TLS" in caplog.text, "the reason"
    )
    assert "the other side speaks TLS, this one does not" in caplog.text
    greet(node, made, made.scanner)


@pytest.mark.long
def test_silent_connections_hold_nobody_up(tmp_path: Path, made: Certificates) -> None:
    with receiving_over_tls(tmp_path / "node", made.listen(), acse_seconds=3.0) as node:
        port = node.listener.tls_port
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
        elsewhere = socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.9", 0))
        context = ssl.create_default_context(cafile=made.ca_file)
        context.load_cert_chain(made.scanner.certificate, made.scanner.key)
        with context.wrap_socket(elsewhere, server_hostname="127.0.0.1") as other:
            assert other.version() == "TLSv1.3"
        echo(node.remote, calling_ae_title=SCANNER, timeouts=TIMEOUTS)
        for connection in silent:
            connection.settimeout(10)
            assert connection.recv(1) == b"", "each ends by itself"
            connection.close()
        greet(node, made, made.scanner)


def test_an_association_that_ends_within_an_object_leaves_nothing(
    node: Receiving, made: Certificates
) -> None:
    with shaken(node.listener.tls_port, made.call(made.scanner)) as half:
        half.sendall(bytes.fromhex("0100000001000001"))  # an A-ASSOCIATE-RQ whose rest never comes
        wait_until(lambda: node.listener.connections == 1, "it is there")
    wait_until(lambda: node.listener.connections == 0, "it is over")
    assert node.spooled() == []


def test_an_abort_within_an_object_leaves_nothing(node: Receiving, made: Certificates) -> None:
    remote = over_tls(node, made.call(made.scanner))
    contexts = [build_context(CTImageStorage, ExplicitVRLittleEndian)]
    with open_association(remote, SCANNER, contexts, TIMEOUTS) as association:
        store_fragments(association, b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", bytes(10_000))
        wait_until(lambda: any(path.stat().st_size > 10_000 for path in node.spooled()), "spooled")
        association.abort()
    wait_until(lambda: node.ends() == ["aborted"], "it is over")
    assert node.spooled() == []
    assert node.instance_count() == 0


def test_who_shows_an_expired_certificate_is_told_of(
    node: Receiving, made: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "node")
    for _ in range(3):
        with (
            shaken(node.listener.tls_port, made.call(made.expired)) as connection,
            pytest.raises(ssl.SSLError, match=r"(?i)certificate.expired"),
        ):
            connection.recv(1)
    wait_until(lambda: "not trusted (certificate has expired)" in caplog.text, "the reason")
    assert len(caplog.messages) == 1, "what is repeated within a minute is counted"
    greet(node, made, made.scanner)


@pytest.mark.parametrize("prompt", [True, False])
def test_a_record_that_comes_byte_by_byte_holds_nobody_up(
    tmp_path: Path, made: Certificates, prompt: bool
) -> None:
    context = ssl.create_default_context(cafile=made.ca_file)
    context.load_cert_chain(made.scanner.certificate, made.scanner.key)
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(came, goes, server_hostname="127.0.0.1")
    with (
        receiving_over_tls(tmp_path / "node", made.listen(), prompt=prompt, acse_seconds=0.3) as node,
        socket.create_connection(("127.0.0.1", node.listener.tls_port), timeout=0.1) as plain,
    ):
        while not came.eof and tls.version() is None:
            with suppress(ssl.SSLWantReadError):
                tls.do_handshake()
            plain.sendall(goes.read())
            if tls.version() is None:
                came.write(plain.recv(1 << 16))
        tls.write(bytes(4000))
        left = bytearray(goes.read())

        def ended() -> bool:
            try:
                plain.sendall(bytes([left.pop(0)]))
                return plain.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        wait_until(ended, "its time is over")


def test_a_renewed_certificate_is_taken(tmp_path: Path, made: Certificates) -> None:
    own = Signed(certificate=tmp_path / "own.pem", key=tmp_path / "own.key")

    def put(signed: Signed) -> None:
        shutil.copy(signed.key, own.key)
        shutil.copy(signed.certificate, own.certificate)

    def shown() -> bytes:
        with shaken(node.listener.tls_port, made.call(made.scanner)) as connection:
            return connection.getpeercert(binary_form=True)

    put(made.node)
    with receiving_over_tls(tmp_path / "node", made.listen(own)) as node:
        first = shown()
        put(made.expired)
        assert shown() == first, "one that cannot be used is not taken"
        put(made.scanner)
        assert shown() != first


def test_a_renewed_certificate_is_taken_once_it_can_be_read(
    tmp_path: Path, made: Certificates, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Signed(certificate=tmp_path / "own.pem", key=tmp_path / "own.key")
    shutil.copy(made.node.key, own.key)
    shutil.copy(made.node.certificate, own.certificate)
    port = TlsPort(made.listen(own))
    first = port.context
    shutil.copy(made.scanner.key, own.key)
    shutil.copy(made.scanner.certificate, own.certificate)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", deny)  # as by its permissions, which do not bind root
        assert port.context is first
        assert port.context is first
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert port.context is not first, "nothing but the permissions has changed"


def test_certificate_files_that_cannot_be_used_are_told_of_at_the_start(
    tmp_path: Path, made: Certificates
) -> None:
    noise = tmp_path / "noise.pem"
    noise.write_text("not PEM")
    own = made.listen()
    for tls, error in (
        (replace(own, certificate=tmp_path / "nowhere.pem"), CertificateMissing),
        (replace(own, ca_file=tmp_path / "nowhere.pem"), CertificateMissing),
        (replace(own, certificate=noise), CertificateUnreadable),
        (replace(own, ca_file=noise), CertificateUnreadable),
        (replace(own, key=made.scanner.key), CertificateMismatch),
        (made.listen(made.expired), CertificateExpired),
        (replace(own, ca_file=None), CertificateMissing),
    ):
        with pytest.raises(error) as caught:
            start_receiving(tmp_path / "node", tls=tls)
        assert re.search(f"{tmp_path.parent.parent}|ca_file", str(caught.value)), "the file is named"
        assert isinstance(caught.value, CertificateError)


def test_without_client_certificates_only_the_server_is_proven(tmp_path: Path, made: Certificates) -> None:
    bound = Peer(
        ae_title="BOUND",
        addresses=("127.0.0.1",),
        rights=frozenset({Right.ECHO}),
        certificates=frozenset({"cn:scanner"}),
    )
    tls = made.listen(required=False)
    with receiving_over_tls(tmp_path / "node", tls, Admission(AE_TITLE, [*PEERS, bound])) as node:
        greet(node, made, None)
        greet(node, made, made.scanner, "BOUND")
        with pytest.raises(DestinationUnavailable, match="rejected the association"):
            greet(node, made, None, "BOUND")


def test_nothing_below_tls_1_2_is_spoken(node: Receiving, made: Certificates) -> None:
    context = ssl.create_default_context(cafile=made.ca_file)
    context.load_cert_chain(made.scanner.certificate, made.scanner.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM")
    for suite, spoken in (("ECDHE-ECDSA-AES128-GCM-SHA256", True), ("ECDHE-ECDSA-AES128-SHA256", False)):
        context.set_ciphers(suite)
        plain = socket.create_connection(("127.0.0.1", node.listener.tls_port), timeout=10)
        if spoken:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
                assert connection.version() == "TLSv1.2"
        else:
            with plain, pytest.raises(ssl.SSLError):
                context.wrap_socket(plain, server_hostname="127.0.0.1")
