"""Ports for programs that are told where to listen."""

from __future__ import annotations

import secrets
import socket

BELOW_THE_SYSTEMS = range(12_000, 32_000)
"""Out of the range from which Linux takes the ports of connections (net.ipv4.ip_local_port_range): one of
those may be taken by any other test between this look and the program's."""


def free_port() -> int:
    """Return a port on which nobody listens on this machine."""
    while True:
        # Not by `random`, which tests of training seed: two workers would draw the same ports.
        port = secrets.choice(BELOW_THE_SYSTEMS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
