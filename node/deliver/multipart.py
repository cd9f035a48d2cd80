"""One DICOM file as the body of a STOW-RS request (PS3.18 section 8.6.1.2, RFC 2046 section 5.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.domain.identity import digest

CHUNK_BYTES: Final = 64 * 1024
DICOM: Final = "application/dicom"


@dataclass(frozen=True, kw_only=True)
class Multipart:
    """A multipart/related body of one part, or of none."""

    path: Path | None
    """PS3.10 file that is sent as it lies."""
    boundary: str

    @property
    def _head(self) -> bytes:
        return f"--{self.boundary}\r\nContent-Type: {DICOM}\r\n\r\n".encode("ascii")

    @property
    def _end(self) -> bytes:
        return f"\r\n--{self.boundary}--\r\n".encode("ascii")

    def headers(self) -> dict[str, str]:
        """Return the headers that describe the body.

        Raises
        ------
        OSError
            The file is not there.
        """
        length = (
            len(self._end) if self.path is None else len(self._head + self._end) + self.path.stat().st_size
        )
        return {
            "Content-Type": f'multipart/related; type="{DICOM}"; boundary={self.boundary}',
            "Content-Length": str(length),
        }

    def content(self) -> Iterator[bytes]:
        """Iterate over the body; no more than a part of the file is held in memory.

        Raises
        ------
        OSError
            The file cannot be read.
        """
        if self.path is not None:
            yield self._head
            with self.path.open("rb") as stream:
                while part := stream.read(CHUNK_BYTES):
                    yield part
        yield self._end


def multipart(path: Path | None, name: str) -> Multipart:
    """Return the body for a file.

    Parameters
    ----------
    path : Path or None
    name : str
        What the boundary is derived from; the digest of an own UID cannot stand in a file by chance, and who
        writes text into the source images cannot choose it.
    """
    return Multipart(path=path, boundary=f"groundglass-{digest('boundary', name)[:32]}")
