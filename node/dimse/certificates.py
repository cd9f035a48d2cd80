"""Certificates and keys of associations over TLS, as PS3.15 B.12 has it (BCP 195: RFC 8996 and RFC 9325)."""

from __future__ import annotations

import logging
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.dimse.tls import TlsConnection
from node.domain.errors import (
    CertificateExpired,
    CertificateMismatch,
    CertificateMissing,
    CertificateUnreadable,
    SettingsError,
)

if TYPE_CHECKING:
    import socket

    from node.domain.network import TlsCall, TlsListen

logger = logging.getLogger(__name__)

SUITES = ":".join(
    (
        "@SECLEVEL=2",  # RSA keys of 2048 bits, curves of 224
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
    )
)
"""Cipher suites of TLS 1.2 (RFC 9325 section 4.2); those of TLS 1.3 are all as good."""
ALPN = "dicom"
"""As IANA lists it for DICOM (RFC 7301)."""
NOT_IN_FORCE = frozenset({9, 10})
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
FLIGHTS = 4
"""After which any handshake in memory has ended."""


class TlsPort:
    """The certificate of the listener; a renewed one is taken for the connections that follow.

    Parameters
    ----------
    tls : TlsListen

    Raises
    ------
    CertificateError
        The files cannot be used.
    """

    def __init__(self, tls: TlsListen) -> None:
        self._tls = tls
        self._lock = threading.Lock()
        self._taken = self._stamps()
        self._context = server_context(tls)
        self._told = ""

    def begin(self, connection: socket.socket) -> TlsConnection:
        """Return what takes the place of a connection; its handshake is to be done.

        Raises
        ------
        OSError
            The peer has gone.
        """
        return TlsConnection(
            self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        )

    @property
    def context(self) -> ssl.SSLContext:
        """Return how the next connection is answered.

        Files that cannot be used are tried again for each: neither permissions nor the time from which a
        certificate is in force change the stamps. What is wrong with them is said once.
        """
        with self._lock:
            found = self._stamps()
            if found != self._taken:
                try:
                    self._context = server_context(self._tls)
                except SettingsError as error:
                    if str(error) != self._told:
                        self._told = str(error)
                        logger.error("the former certificate stays in use: %s", error)  # noqa: TRY400 -- it says all
                else:
                    self._taken, self._told = found, ""
                    logger.info("the certificate files of [tls] changed; new connections use them")
            return self._context

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        """Return what tells whether a file was written anew."""
        stamps: list[tuple[int, int, int] | None] = []
        for path in (self._tls.certificate, self._tls.key, self._tls.ca_file):
            stamps.append(None)
            with suppress(OSError):
                if path is not None:
                    found = path.stat()
                    stamps[-1] = found.st_mtime_ns, found.st_size, found.st_ino
        return stamps


def server_context(tls: TlsListen) -> ssl.SSLContext:
    """Return how this node answers over TLS.

    Raises
    ------
    CertificateError
    """
    if tls.ca_file is None and tls.require_client_certificate:
        raise CertificateMissing(
            "[tls] has no ca_file: name the authorities that sign the certificates of clients"
        )
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    require_in_force(tls.certificate, tls.key, calling=False)
    _load_own(context, tls.certificate, tls.key)
    context.num_tickets = 0  # a connection is long, and a client shows its certificate at each
    context.options |= ssl.OP_NO_TICKET
    if tls.ca_file is not None:
        _load_authorities(context, tls.ca_file)
        required = tls.require_client_certificate
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def client_context(call: TlsCall) -> ssl.SSLContext:
    """Return how this node calls over TLS; all files are read now.

    Raises
    ------
    CertificateError
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = call.check_host_name
    if call.ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_authorities(context, call.ca_file)
    if call.client_certificate is not None and call.client_key is not None:
        require_in_force(call.client_certificate, call.client_key, calling=True)
        _load_own(context, call.client_certificate, call.client_key)
    return context


def require_in_force(certificate: Path, key: Path, *, calling: bool) -> str:
    """Check that a certificate can be shown today, by a handshake in memory; return until when.

    Parameters
    ----------
    certificate, key : Path
        PEM.
    calling : bool
        Whether it is shown by who calls, else by who listens.

    Raises
    ------
    CertificateError
    """
    server, client = _context(ssl.PROTOCOL_TLS_SERVER), _context(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    _load_own(server, certificate, key)
    verifying = server if calling else client
    if calling:
        _load_own(client, certificate, key)
    verifying.verify_mode = ssl.CERT_REQUIRED
    verifying.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _load_authorities(verifying, certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    called = server.wrap_bio(to_server, to_client, server_side=True)
    caller = client.wrap_bio(to_client, to_server)
    try:
        for _ in range(FLIGHTS):
            for side in (caller, called):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in NOT_IN_FORCE:
            raise CertificateExpired(
                f"{certificate}: {error.verify_message}; renew it, or correct the clock"
            ) from error
        raise CertificateUnreadable(
            f"{certificate}: it cannot be shown by who {'calls' if calling else 'listens'} "
            f"({error.verify_message}); have one issued for that"
        ) from error
    except ssl.SSLError as error:
        raise CertificateUnreadable(
            f"{certificate}: no TLS connection can be made with it ({error.reason}); have another one issued"
        ) from error
    shown: Any = (called if calling else caller).getpeercert()
    return str(shown["notAfter"])


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([ALPN])
    return context


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for path in (certificate, key):
        _require_readable(path)
    try:
        # Without a password of its own, OpenSSL asks the terminal for that of an encrypted key.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            raise CertificateMismatch(
                f"{key} is not the key of {certificate}; name the two that belong together"
            ) from error
        raise CertificateUnreadable(
            f"{certificate} and {key}: not a certificate and its key in PEM, or the key is encrypted or too "
            "short (RSA: 2048 bits); write them anew, the key without a password"
        ) from error


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    _require_readable(path)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise CertificateUnreadable(f"{path}: holds no certificate in PEM; correct the file") from error


def _require_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except FileNotFoundError as error:
        raise CertificateMissing(f"{path}: no such file; correct the settings") from error
    except OSError as error:
        raise CertificateUnreadable(
            f"{path}: cannot be read ({error.strerror}); let the node read it"
        ) from error
