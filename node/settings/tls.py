"""The table ``[tls]`` of ``groundglass.toml``, and the keys of whoever is called over TLS (PS3.15 B.12)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from node.domain.network import TlsCall, TlsListen
from node.settings.section import Section

_DIGEST = re.compile(r"[0-9a-f]{64}")
_DNS = re.compile(r"[a-z0-9*_.-]{1,253}")


def _certificate_name(value: str) -> str:
    """Return a name of a certificate as connections tell it; digests as `openssl x509` prints them."""
    kind, _, rest = value.partition(":")
    plain = {"sha256": rest.replace(":", "").lower(), "dns": rest.lower(), "cn": rest}.get(kind, "")
    valid = {"sha256": _DIGEST.fullmatch(plain), "dns": _DNS.fullmatch(plain), "cn": plain}.get(kind)
    if not valid:
        raise ValueError(
            f"{value!r} names no certificate; write 'sha256:' and its 64 hexadecimal digits, 'dns:' and a "
            "name, or 'cn:' and the common name"
        )
    return f"{kind}:{plain}"


CertificateName = Annotated[str, AfterValidator(_certificate_name)]


def _anchored(path: Path | None, folder: Path) -> Path | None:
    return None if path is None else folder / path


class TlsSettings(Section):
    """Associations over TLS: the port for them, and what this node shows where it calls over TLS."""

    port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        None, description="Port for associations over TLS, 2762 by convention; 0 takes a free one; none: -."
    )
    plain: bool = Field(True, description="Whether `port` of `[node]` is open, too, without TLS.")
    certificate: Path | None = Field(
        None, description="Certificate of this node, PEM, with those between it and its authority."
    )
    key: Path | None = Field(None, description="Key of the certificate, PEM, without a password.")
    ca_file: Path | None = Field(
        None,
        description="Authorities that may sign the certificates of clients, PEM, and of those whom this node "
        "calls, where their tables name no other.",
    )
    require_client_certificate: bool = Field(
        True, description="Whether a client must show a certificate; else it may, where `ca_file` is given."
    )

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together; give both or neither")
        if self.port is None:
            if not self.plain:
                raise ValueError("nothing would be listened on; give a port, or leave plain = true")
            return self
        if self.certificate is None:
            raise ValueError("a port for TLS needs certificate and key; give both")
        if self.require_client_certificate and self.ca_file is None:
            raise ValueError(
                "name in ca_file the authorities that sign the certificates of clients, or set "
                "require_client_certificate = false"
            )
        return self

    def anchored(self, folder: Path) -> Self:
        """Return the settings with their relative paths starting at ``folder``."""
        return self.model_copy(
            update={key: _anchored(getattr(self, key), folder) for key in ("certificate", "key", "ca_file")}
        )

    def listen(self) -> TlsListen | None:
        """Return the domain's record; None without a port."""
        if self.port is None or self.certificate is None or self.key is None:
            return None
        return TlsListen(
            port=self.port,
            certificate=self.certificate,
            key=self.key,
            ca_file=self.ca_file,
            require_client_certificate=self.require_client_certificate,
        )


class CalledOverTls(Section):
    """What everybody has who may be called over TLS."""

    tls: bool = Field(False, description="Call it over TLS.")
    ca_file: Path | None = Field(
        None,
        description="Authorities that may sign its certificate, PEM; by default those of `[tls]`, else those "
        "of the system.",
    )
    client_certificate: Path | None = Field(
        None, description="Certificate by which this node identifies itself, PEM; by default that of `[tls]`."
    )
    client_key: Path | None = Field(None, description="Key of that certificate, PEM, without a password.")
    check_host_name: bool = Field(
        True, description="Whether its certificate must be one for `host`, be it a name or an address."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key belong together; give both or neither")
        if not self.tls and (self.ca_file is not None or self.client_certificate is not None):
            raise ValueError("ca_file and client_certificate are for TLS; set tls = true")
        return self

    def anchored(self, folder: Path) -> Self:
        """Return the settings with their relative paths starting at ``folder``."""
        keys = ("ca_file", "client_certificate", "client_key")
        return self.model_copy(update={key: _anchored(getattr(self, key), folder) for key in keys})

    def completed(self, own: TlsSettings) -> Self:
        """Return the settings with what ``[tls]`` says where they say nothing."""
        update = {}
        if self.tls and self.ca_file is None:
            update["ca_file"] = own.ca_file
        if self.tls and self.client_certificate is None:
            update |= {"client_certificate": own.certificate, "client_key": own.key}
        return self.model_copy(update=update)

    def takes_anybody(self, own: TlsSettings) -> bool:
        """Whether any certificate of an authority that the system trusts would do: anybody can get one."""
        return self.tls and not self.check_host_name and self.ca_file is None and own.ca_file is None

    def tls_call(self) -> TlsCall | None:
        """Return the domain's record; None without TLS."""
        if not self.tls:
            return None
        return TlsCall(
            ca_file=self.ca_file,
            client_certificate=self.client_certificate,
            client_key=self.client_key,
            check_host_name=self.check_host_name,
        )
