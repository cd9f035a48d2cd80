"""The tables ``[[archives]]``, ``[[polls]]`` and ``[pull]``: where studies are fetched from, and which."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag

from node.domain.archives import Archive, DicomArchive, Poll, Retrieval, WebArchive
from node.domain.network import Backoff
from node.settings.destinations import DICOM, Anchored, Name, WebService
from node.settings.section import Seconds, Section
from node.settings.tables import AETitle, Port
from node.settings.tls import CalledOverTls

UNKNOWN_KIND: Final = "unknown_archive"
"""Type of the error that an archive of no known kind raises."""
Pattern = Annotated[str, Field(max_length=64)]
Modality = Annotated[str, Field(pattern=r"^[A-Z0-9_ ]{1,16}$")]
"""VR CS (PS3.5 section 6.2)."""


class _Archive(Anchored):
    """What every archive has."""

    name: Name = Field(description="Name in commands and lists: letters, digits, dot, dash, underscore.")
    counts: bool = Field(
        True,
        description="Whether it is asked how many instances those series have that are being received: "
        "evidence that one is whole, or of what is missing.",
    )


class DicomArchiveSettings(CalledOverTls, _Archive):
    """An archive that is searched by C-FIND, and sends by C-MOVE or C-GET."""

    kind: Literal["dicom"] = Field("dicom", description="How it is spoken to.")
    ae_title: AETitle = Field(description="Called AE title.")
    host: str = Field(min_length=1, description="Host name or address.")
    port: Port = Field(description="Port.")
    retrieve: Retrieval = Field(
        Retrieval.MOVE,
        description="`move`: it sends to this node, which it must know as a move destination; it must be one "
        "of `peers`. `get`: objects come on the association of the request.",
    )

    def record(self) -> Archive:
        """Return the domain's record."""
        return DicomArchive(
            name=self.name,
            counts=self.counts,
            ae_title=self.ae_title,
            host=self.host,
            port=self.port,
            retrieval=self.retrieve,
            tls=self.tls_call(),
        )


class WebArchiveSettings(WebService, _Archive):
    """An archive that is searched by QIDO-RS, and sends by WADO-RS."""

    kind: Literal["dicomweb"] = Field(description="How it is spoken to.")

    def record(self) -> Archive:
        """Return the domain's record."""
        return WebArchive(name=self.name, counts=self.counts, access=self.access())


def _kind(value: Any) -> str:
    """Return the kind of a table, or of its settings."""
    found = value.get("kind", DICOM) if isinstance(value, Mapping) else getattr(value, "kind", DICOM)
    return found if isinstance(found, str) else ""


ARCHIVES: Final[Mapping[str, type[_Archive]]] = MappingProxyType(
    {DICOM: DicomArchiveSettings, "dicomweb": WebArchiveSettings}
)
"""The tables by their kind."""
ArchiveSettings = Annotated[
    Annotated[DicomArchiveSettings, Tag(DICOM)] | Annotated[WebArchiveSettings, Tag("dicomweb")],
    Discriminator(
        _kind, custom_error_type=UNKNOWN_KIND, custom_error_message="kind is one of 'dicom' and 'dicomweb'"
    ),
]
"""One table of ``[[archives]]``; its ``kind`` says which keys it has."""


class PollSettings(Section):
    """Studies that are fetched from an archive as soon as they are there."""

    name: Name = Field(description="Name in lists and logs.")
    archive: str = Field(description="Name of the archive.")
    modalities: tuple[Modality, ...] = Field(("CT",), min_length=1, description="Modality of the series.")
    body_parts: tuple[Pattern, ...] = Field(
        (),
        description="Patterns with `*` and `?`, of which one must match BodyPartExamined; none: any. Many "
        'scanners leave it empty, which `""` does not match.',
    )
    descriptions: tuple[Pattern, ...] = Field(
        (),
        description="Patterns of which one must match StudyDescription or SeriesDescription; none: any.",
    )
    days_back: int = Field(1, ge=0, le=3660, description="Studies of today and of so many days before.")
    every_seconds: Seconds = Field(300.0, description="Time between two looks.")

    def record(self) -> Poll:
        """Return the domain's record."""
        return Poll(
            name=self.name,
            archive=self.archive,
            modalities=self.modalities,
            body_parts=self.body_parts,
            descriptions=self.descriptions,
            days_back=self.days_back,
            every=timedelta(seconds=self.every_seconds),
        )


class PullSettings(Section):
    """How studies are fetched from archives."""

    look_seconds: Seconds = Field(2.0, description="Time between two looks at what is to be fetched.")
    max_studies: int = Field(500, ge=1, le=10_000, description="Most studies that one search may find.")
    connect_seconds: Seconds = Field(10.0, description="Longest wait for the TCP connection.")
    acse_seconds: Seconds = Field(30.0, description="Longest wait for an answer of association control.")
    answer_seconds: Seconds = Field(
        300.0, description="Longest silence of an archive; one that reads from tape needs more."
    )
    stall_seconds: Seconds = Field(
        900.0,
        description="A retrieval is broken off and made again when no new instance came for this long and "
        "the archive told of no further one; one instance may take as long. A search that has not ended by "
        "then is given up.",
    )
    cancel_seconds: Seconds = Field(
        10.0,
        description="Time that an archive has to end what it was told to (C-CANCEL), before the association "
        "is aborted.",
    )
    first_retry_seconds: Seconds = Field(15.0, description="Delay after the first failed attempt.")
    retry_factor: float = Field(2.0, ge=1, le=10, description="The delay grows by this factor each time.")
    longest_retry_seconds: Seconds = Field(1800.0, description="The delay grows no further than this.")
    max_attempts: int = Field(
        50,
        ge=1,
        le=10_000,
        description="An archive that cannot be reached is given up after so many attempts.",
    )
    short_attempts: int = Field(
        4, ge=1, le=1000, description="A series is asked for so often when not all of it comes."
    )
    count_seconds: Seconds = Field(
        30.0,
        description="Time between two questions how many instances of a series an archive holds; one that "
        "says the same twice is believed.",
    )
    fetch_missing: bool = Field(
        True, description="Whether instances are fetched that a series lacks and an archive has."
    )
    missing_seconds: Seconds = Field(
        60.0, description="What a series lacks is fetched when nothing of it has arrived for this long."
    )
    watch_seconds: Seconds = Field(
        86400.0, description="An incomplete series is asked about for this long after its last image."
    )

    def backoff(self) -> Backoff:
        """Return the domain's record."""
        return Backoff(
            first=timedelta(seconds=self.first_retry_seconds),
            factor=self.retry_factor,
            longest=timedelta(seconds=self.longest_retry_seconds),
            jitter=0.2,
            max_attempts=self.max_attempts,
        )
