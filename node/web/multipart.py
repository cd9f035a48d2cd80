"""Bodies of several parts, written piece by piece (RFC 2046 section 5.1, RFC 2387)."""

from __future__ import annotations


def multipart_type(root: str, boundary: str) -> str:
    """Return the Content-Type of a body whose parts are of the media type ``root``.

    Parameters
    ----------
    root : str
        For example ``application/dicom``.
    boundary : str
        A token that nobody could foresee, so that no part holds it.
    """
    return f'multipart/related; type="{root}"; boundary={boundary}'


def part_head(
    boundary: str,
    content_type: str,
    *,
    length: int | None = None,
    location: str = "",
    first: bool = False,
) -> bytes:
    """Return what stands before the bytes of one part.

    Parameters
    ----------
    boundary : str
    content_type : str
        Of the part.
    length : int, optional
        Bytes of the part, where they are known.
    location : str
        Content-Location, none where it is empty.
    first : bool
        Whether no part stands before this one.
    """
    lines = [f"--{boundary}", f"Content-Type: {content_type}"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    if location:
        lines.append(f"Content-Location: {location}")
    text = "\r\n".join([*lines, "", ""])
    return (text if first else f"\r\n{text}").encode("ascii")


def closing(boundary: str) -> bytes:
    """Return what stands behind the last part."""
    return f"\r\n--{boundary}--\r\n".encode("ascii")
