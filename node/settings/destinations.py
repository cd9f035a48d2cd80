"""The tables ``[[destinations]]`` of ``groundglass.toml``: one for each kind of place that takes results."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from node.domain.network import (
    Destination,
    DicomDestination,
    FolderDestination,
    Proof,
    SecretSource,
    StowDestination,
    WebAccess,
    WebhookDestination,
)
from node.domain.result import ResultKind
from node.settings.section import Seconds, Section
from node.settings.tables import AETitle, Port
from node.settings.tls import CalledOverTls

DICOM: Final = "dicom"
UNKNOWN_KIND: Final = "unknown_destination"
"""Type of the error that a destination of no known kind raises."""
FILE: Final = "file:"
SECRETS: Final = ("token", "password", "secret")
"""Keys that say where a secret is."""
_SECRET = re.compile(r"(?P<where>env|file):(?P<name>.+)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _secret(value: object) -> str:
    """Refuse what is no reference to a secret, without repeating it: it may be the secret itself."""
    found = _SECRET.fullmatch(value) if isinstance(value, str) else None
    if found is None or (found["where"] == "env" and _VARIABLE.fullmatch(found["name"]) is None):
        raise ValueError("a secret does not stand in the settings; write 'env:VARIABLE' or 'file:PATH'")
    return found[0]


def _url(value: str) -> str:
    """Refuse what is no plain HTTP address, without repeating it: it may hold a password."""
    try:
        parts = urlsplit(value)
        usable = value.startswith(("http://", "https://")) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(not "!" <= character <= "~" for character in value):
        raise ValueError("it is no HTTP address; write for example 'https://pacs.example/dicom-web'")
    if parts.username is not None or parts.query or parts.fragment or "?" in value or "#" in value:
        raise ValueError(
            "write the address without user, query and fragment; credentials have their own keys"
        )
    return value.rstrip("/")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def source_of(reference: str) -> SecretSource:
    """Return where a secret is that the settings refer to."""
    where, _, name = reference.partition(":")
    return SecretSource(variable=name) if where == "env" else SecretSource(file=Path(name))


def _anchored(value: object, folder: Path) -> object:
    """Return a path, or a reference to a file, that starts at ``folder`` where it is relative."""
    if isinstance(value, Path):
        return folder / value
    return f"{FILE}{folder / value.removeprefix(FILE)}" if isinstance(value, str) else value


Secret = Annotated[str, BeforeValidator(_secret)]
Url = Annotated[str, AfterValidator(_url)]


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Anchored(Section):
    """A table of a list that may hold paths and references to secret files."""

    def anchored(self, folder: Path) -> Self:
        """Return the settings with their relative paths starting at ``folder``."""
        values = {key: getattr(self, key) for key in type(self).model_fields}
        return self.model_copy(
            update={
                key: _anchored(value, folder)
                for key, value in values.items()
                if isinstance(value, Path) or (key in SECRETS and str(value).startswith(FILE))
            }
        )


class _Destination(Anchored):
    """What every destination has."""

    name: Name = Field(description="Name in commands and lists: letters, digits, dot, dash, underscore.")
    accept_demonstration: bool = Field(
        False, description="Take results of a model whose card says `demonstration` or `untrained`."
    )


class _ObjectDestination(_Destination):
    """What every destination of DICOM objects has."""

    objects: frozenset[ResultKind] = Field(
        frozenset(ResultKind),
        min_length=1,
        description="Kinds of objects sent there. What withdraws them (`rejection`) always goes along.",
    )

    def kinds(self) -> frozenset[ResultKind]:
        """Return what is sent there: who got a result learns that it was withdrawn."""
        return self.objects | {ResultKind.REJECTION}


class DicomDestinationSettings(CalledOverTls, _ObjectDestination):
    """An application entity that takes results by C-STORE, once it is live."""

    kind: Literal["dicom"] = Field("dicom", description="How it takes results.")
    ae_title: AETitle = Field(description="Called AE title.")
    host: str = Field(min_length=1, description="Host name or address.")
    port: Port = Field(description="Port.")
    proof: Proof = Field(
        Proof.AUTO,
        description="How it shows that it keeps what it accepted: by storage commitment (`commitment`), by "
        "C-FIND (`find`), by whichever it offers (`auto`), or not at all (`none`).",
    )

    def record(self) -> Destination:
        """Return the domain's record."""
        return DicomDestination(
            name=self.name,
            ae_title=self.ae_title,
            host=self.host,
            port=self.port,
            accept_demonstration=self.accept_demonstration,
            kinds=self.kinds(),
            proof=self.proof,
            tls=self.tls_call(),
        )


class WebService(Section):
    """What everything has that is called by HTTP."""

    url: Url = Field(description="Address, `https://` or, where the line is trusted, `http://`.")
    allow_plain_http: bool = Field(
        False, description="Allow `http://` beyond this machine; credentials are never sent over it."
    )
    ca_file: Path | None = Field(
        None, description="Authorities that may sign its certificate, PEM; by default those of the system."
    )
    client_certificate: Path | None = Field(
        None, description="Certificate by which this node identifies itself, PEM."
    )
    client_key: Path | None = Field(None, description="Key of that certificate, PEM.")
    token: Secret | None = Field(
        None, description="Bearer token, as `env:VARIABLE` or `file:PATH`; read anew at each use."
    )
    user: str = Field("", max_length=256, pattern=r"^[^:\x00-\x1f]*$", description="User (basic).")
    password: Secret | None = Field(None, description="Password, as `env:VARIABLE` or `file:PATH`.")
    connect_seconds: Seconds = Field(
        10.0, description="Longest wait for the connection, and for each part of an answer."
    )
    request_seconds: Seconds = Field(
        120.0, description="Longest time that one request with its whole answer may take."
    )

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key belong together; give both or neither")
        if bool(self.user) != (self.password is not None):
            raise ValueError("user and password belong together; give both or neither")
        if self.token is not None and self.user:
            raise ValueError("give either a token or a user with password, not both")
        if self.url.startswith("http:") and not _is_loopback(self.url):
            if self.token is not None or self.user:
                raise ValueError("credentials are not sent over plain HTTP; use an https:// address")
            if not self.allow_plain_http:
                raise ValueError("use an https:// address, or set allow_plain_http where the line is trusted")
        return self

    def access(self) -> WebAccess:
        """Return the domain's record."""
        return WebAccess(
            url=self.url,
            ca_file=self.ca_file,
            client_certificate=self.client_certificate,
            client_key=self.client_key,
            token=None if self.token is None else source_of(self.token),
            user=self.user,
            password=None if self.password is None else source_of(self.password),
            connect_seconds=self.connect_seconds,
            request_seconds=self.request_seconds,
        )


class StowDestinationSettings(WebService, _ObjectDestination):
    """A DICOMweb server that takes results by STOW-RS, once it is live."""

    kind: Literal["stow"] = Field(description="How it takes results.")
    proof: Literal["auto", "find", "none"] = Field(
        "auto",
        description="How it shows that it keeps what it accepted: by QIDO-RS or WADO-RS (`auto`, `find`), or "
        "not at all (`none`).",
    )

    def record(self) -> Destination:
        """Return the domain's record."""
        return StowDestination(
            name=self.name,
            accept_demonstration=self.accept_demonstration,
            kinds=self.kinds(),
            access=self.access(),
            proof=Proof(self.proof),
        )


class FolderDestinationSettings(_ObjectDestination):
    """A folder that takes results as DICOM files, once it is live."""

    kind: Literal["folder"] = Field(description="How it takes results.")
    path: Path = Field(
        description="The folder, which must exist; a relative path starts at the settings file."
    )
    group_readable: bool = Field(
        False, description="Whether the group of the files may read them, whatever the node's umask is."
    )

    def record(self) -> Destination:
        """Return the domain's record."""
        return FolderDestination(
            name=self.name,
            accept_demonstration=self.accept_demonstration,
            kinds=self.kinds(),
            folder=self.path,
            group_readable=self.group_readable,
        )


class WebhookDestinationSettings(WebService, _Destination):
    """A web service that takes a short JSON form of each report and withdrawal, once it is live."""

    kind: Literal["webhook"] = Field(description="How it takes results.")
    secret: Secret = Field(
        description="Key of the signature, as `env:VARIABLE` or `file:PATH`; at least 16 bytes."
    )
    identifiers: bool = Field(
        False, description="Whether the message names PatientID, its issuer and AccessionNumber."
    )

    def record(self) -> Destination:
        """Return the domain's record."""
        return WebhookDestination(
            name=self.name,
            accept_demonstration=self.accept_demonstration,
            kinds=frozenset({ResultKind.REPORT, ResultKind.REJECTION}),
            access=self.access(),
            secret=source_of(self.secret),
            identifiers=self.identifiers,
        )


def _kind(value: Any) -> str:
    """Return the kind of a table, or of its settings."""
    found = value.get("kind", DICOM) if isinstance(value, Mapping) else getattr(value, "kind", DICOM)
    return found if isinstance(found, str) else ""


DESTINATIONS: Final[Mapping[str, type[_Destination]]] = MappingProxyType(
    {
        DICOM: DicomDestinationSettings,
        "stow": StowDestinationSettings,
        "folder": FolderDestinationSettings,
        "webhook": WebhookDestinationSettings,
    }
)
"""The tables by their kind."""
DestinationSettings = Annotated[
    Annotated[DicomDestinationSettings, Tag(DICOM)]
    | Annotated[StowDestinationSettings, Tag("stow")]
    | Annotated[FolderDestinationSettings, Tag("folder")]
    | Annotated[WebhookDestinationSettings, Tag("webhook")],
    Discriminator(
        _kind,
        custom_error_type=UNKNOWN_KIND,
        custom_error_message="kind is one of 'dicom', 'stow', 'folder' and 'webhook'",
    ),
]
"""One table of ``[[destinations]]``; its ``kind`` says which keys it has."""
