"""Ground of the tests over TLS: certificates, and a node that listens with one."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from node.dimse.admission import Gate
from node.dimse.scu import Remote
from node.domain.network import TlsCall, TlsListen
from tests.certificates import Authority, Signed
from tests.station.receiving_node import Receiving, start_receiving


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Made once for all tests of a module."""

    authority: Authority
    node: Signed
    scanner: Signed
    expired: Signed
    foreign: Signed
    """Of an authority that nobody trusts."""

    @classmethod
    def make(cls, folder: Path) -> Certificates:
        authority = Authority(folder / "hospital")
        return cls(
            authority=authority,
            node=authority.sign("node"),
            scanner=authority.sign("scanner", "ct1.example"),
            expired=authority.expired("expired"),
            foreign=Authority(folder / "elsewhere").sign("foreign"),
        )

    @property
    def ca_file(self) -> Path:
        return self.authority.root.certificate

    def listen(self, own: Signed | None = None, *, required: bool = True) -> TlsListen:
        """Return how a node listens with its certificate, or another one."""
        own = own or self.node
        return TlsListen(
            port=0,
            certificate=own.certificate,
            key=own.key,
            ca_file=self.ca_file,
            require_client_certificate=required,
        )

    def call(self, own: Signed | None, *, ca_file: Path | None = None) -> TlsCall:
        """Return how somebody calls who has a certificate, or none."""
        return TlsCall(
            ca_file=ca_file or self.ca_file,
            client_certificate=own and own.certificate,
            client_key=own and own.key,
        )


@contextmanager
def receiving_over_tls(
    root: Path, tls: TlsListen, gate: Gate | None = None, **limits: object
) -> Iterator[Receiving]:
    """Run a node that listens over TLS beside its plain port."""
    node = start_receiving(root, gate, tls=tls, **limits)
    try:
        yield node
    finally:
        assert node.listener.stop(grace_seconds=2.0)
        node.database.close()


def over_tls(node: Receiving, call: TlsCall) -> Remote:
    """Return the node as one that is called over TLS."""
    assert node.listener.tls_port is not None
    return replace(node.remote, port=node.listener.tls_port, tls=call)


def shaken(port: int, call: TlsCall) -> ssl.SSLSocket:
    """Return a connection over TLS on which nothing was said."""
    assert call.ca_file is not None
    assert call.client_certificate is not None
    context = ssl.create_default_context(cafile=call.ca_file)
    context.load_cert_chain(call.client_certificate, call.client_key)
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def program(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program of DCMTK."""
    return subprocess.run([name, *map(str, arguments)], capture_output=True, text=True, check=False)
