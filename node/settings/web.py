"""The table ``[web]`` of ``groundglass.toml``: the DICOMweb service of this node."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from node.domain.network import Right, SecretSource
from node.settings.destinations import FILE, Secret, Url, source_of
from node.settings.section import Seconds, Section
from node.settings.tables import MEBIBYTE, Address, AETitle, ListenPort

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_ORIGIN = re.compile(r"\*|https?://[A-Za-z0-9.\[\]:-]+")
WEB_RIGHTS = frozenset({Right.STORE, Right.QUERY, Right.RETRIEVE})


def _path(value: str) -> str:
    if _PATH.fullmatch(value) is None or ".." in value:
        raise ValueError(f"{value!r} is no path; write for example '/dicom-web'")
    return value


def _web_rights(value: frozenset[Right]) -> frozenset[Right]:
    if not value <= WEB_RIGHTS:
        raise ValueError("rights: only 'query', 'retrieve' and 'store' can be given to web clients")
    return value


def _origin(value: str) -> str:
    if _ORIGIN.fullmatch(value) is None:
        raise ValueError(f"{value!r} is no origin; write for example 'https://viewer.example' or '*'")
    return value


def _anchored(token: str, folder: Path) -> str:
    """Return a reference to a file that starts at ``folder`` where it is relative."""
    return f"{FILE}{folder / token.removeprefix(FILE)}" if token.startswith(FILE) else token


class WebClientSettings(Section):
    """A client with a token and rights of its own: what it stores is recorded under its AE title.

    Take its token away, and it is let in no more, while the others are.
    """

    ae_title: AETitle = Field(description="Name of the client, in the log and in the records.")
    token: Secret = Field(description="Its bearer token, as `env:VARIABLE` or `file:PATH`; read at each use.")
    rights: frozenset[Right] = Field(
        frozenset({Right.QUERY, Right.RETRIEVE}),
        min_length=1,
        description="What it may do: `query`, `retrieve`, `store`.",
    )

    @field_validator("rights")
    @classmethod
    def _are_of_the_web(cls, value: frozenset[Right]) -> frozenset[Right]:
        return _web_rights(value)

    def token_source(self) -> SecretSource:
        """Return where the token is."""
        return source_of(self.token)


class WebSettings(Section):
    """The DICOMweb service: QIDO-RS, WADO-RS and STOW-RS. Closed unless a token or `anonymous` opens it."""

    enabled: bool = Field(False, description="Whether it is there.")
    host: str = Field("127.0.0.1", min_length=1, description="Address on which it listens.")
    port: ListenPort = Field(8080, description="Port; 0 takes a free one.")
    path: Annotated[str, AfterValidator(_path)] = Field(
        "/dicom-web", description="Path under which the service is."
    )
    public_url: Url | None = Field(
        None,
        description="Address of the service as clients reach it, where a proxy stands before it or where "
        "it goes by a name and `anonymous` is set.",
    )
    addresses: tuple[Address, ...] = Field(
        ("127.0.0.1", "::1"),
        min_length=1,
        description="IP addresses or networks (CIDR) from which requests are served.",
    )
    token: Secret | None = Field(
        None,
        description="Bearer token of all clients that have none of their own, as `env:VARIABLE` or "
        "`file:PATH`; read at each use.",
    )
    clients: tuple[WebClientSettings, ...] = Field((), description="Who has a token of its own.")
    anonymous: bool = Field(False, description="Serve without a token.")
    rights: frozenset[Right] = Field(
        frozenset({Right.QUERY, Right.RETRIEVE}),
        min_length=1,
        description="What clients may do: `query` (QIDO-RS), `retrieve` (WADO-RS), `store` (STOW-RS).",
    )
    ae_title: AETitle = Field(
        "DICOMWEB",
        description="AE title under which what comes by STOW-RS with the common token, or none, is recorded "
        "as sent.",
    )
    certificate: Path | None = Field(None, description="Certificate for HTTPS, PEM; with `key`.")
    key: Path | None = Field(None, description="Key of the certificate, PEM.")
    allow_plain_http: bool = Field(
        False, description="Serve plain HTTP beyond this machine, where a proxy or the line protects it."
    )
    origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(
        (), description="Origins whose pages may call it (CORS); `*` allows all."
    )
    max_connections: int = Field(
        64, ge=2, le=10_000, description="Connections at the same time; more are answered 503."
    )
    max_request_bytes: int = Field(
        16 * 1024 * MEBIBYTE, ge=MEBIBYTE, description="Largest body of a request; a larger one is refused."
    )
    search_seconds: Seconds = Field(
        60.0, description="A search that takes longer is given up; answers that were sent by then stay valid."
    )
    idle_seconds: Seconds = Field(
        30.0, description="A client that is waited for and moves next to nothing for so long is let go."
    )

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together; give both or neither")
        _web_rights(self.rights)
        with_token = self.token is not None or bool(self.clients)
        if self.enabled and not with_token and not self.anonymous:
            raise ValueError("set a token, or anonymous = true where everyone listed may read without one")
        if with_token and self.anonymous:
            raise ValueError("give either a token or anonymous = true, not both")
        if len({item.ae_title for item in self.clients}) < len(self.clients):
            raise ValueError("two clients have the same ae_title; name each once")
        if self.enabled and self.certificate is None and not (self.allow_plain_http or self._on_loopback()):
            raise ValueError(
                "plain HTTP leaves this machine; set certificate and key, or allow_plain_http where a proxy "
                "or the line protects it"
            )
        return self

    def _on_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def anchored(self, folder: Path) -> Self:
        """Return the settings with their relative paths starting at ``folder``."""
        update: dict[str, object] = {
            key: folder / path
            for key, path in (("certificate", self.certificate), ("key", self.key))
            if path is not None
        }
        if self.token is not None:
            update["token"] = _anchored(self.token, folder)
        update["clients"] = tuple(
            item.model_copy(update={"token": _anchored(item.token, folder)}) for item in self.clients
        )
        return self.model_copy(update=update)

    def token_source(self) -> SecretSource | None:
        """Return where the token is."""
        return None if self.token is None else source_of(self.token)
