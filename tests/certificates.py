"""A certificate authority of the tests' own, and what it signs, made by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A certificate and its key, PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates for loopback that hold for one day.

    Parameters
    ----------
    folder : Path
        Where everything is kept.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.root = self._make("root", "-addext", "basicConstraints=critical,CA:TRUE")

    def sign(self, name: str, *others: str) -> Signed:
        """Return a new certificate for 127.0.0.1, and DNS names, and its key."""
        issued = ("-CA", str(self.root.certificate), "-CAkey", str(self.root.key))
        names = ",".join(["IP:127.0.0.1", *(f"DNS:{other}" for other in others)])
        return self._make(name, *issued, "-addext", f"subjectAltName={names}")

    def expired(self, name: str) -> Signed:
        """Return a certificate that was valid until yesterday."""
        made, asked = self.sign(name), self._folder / f"{name}.csr"
        ask = ["openssl", "req", "-new", "-key", str(made.key), "-subj", f"/CN={name}", "-out", str(asked)]
        issued = ["-CA", str(self.root.certificate), "-CAkey", str(self.root.key), "-set_serial", "7"]
        sign = ["openssl", "x509", "-req", "-in", str(asked), *issued, "-out", str(made.certificate)]
        subprocess.run(ask, check=True, capture_output=True)
        subprocess.run([*sign, "-days", "-1"], check=True, capture_output=True)
        return made

    def _make(self, name: str, *options: str) -> Signed:
        made = Signed(certificate=self._folder / f"{name}.pem", key=self._folder / f"{name}.key")
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        files = ["-nodes", "-out", str(made.certificate), "-keyout", str(made.key)]
        about = ["-subj", f"/CN={name}", "-days", "1"]
        subprocess.run([*command, *files, *about, *options], check=True, capture_output=True)
        return made
