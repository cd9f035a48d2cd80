"""Validators and readers of other makers, run on files; each returns what it finds wrong."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

JAVA_FOLDER = Path("/usr/share/java")
"""Where Debian puts libpixelmed-java and the libraries that it needs."""
XPATH_LIMITS = ("jdk.xml.xpathExprGrpLimit", "jdk.xml.xpathExprOpLimit", "jdk.xml.xpathTotalOpLimit")
"""PixelMed's compiled templates are larger than what JDK 17 takes from a stranger."""
NO_FAULT = re.compile(
    "VR checker does not support this Specific Character Set: ISO_IR 192"
    "|Check for template constraints not yet supported"
)
"""What DCMTK 3.6.7 says of itself: it reads UTF-8 without checking it, and checks no template."""

KNOWN_FALSE_ALARM = re.compile(
    r'CODE \(121058,DCM,"Procedure reported"\): Code \(43468-8,LN,"XR unspecified body region"\) '
    r"not found in context group 100$"
)
"""PixelMed's copy of CID 100, of 2022, is taken for closed; the group is extensible (PS3.16 CID 100),
and the code is one of LOINC's, to which the group leads."""


def dciodvfy(path: Path) -> list[str]:
    """Return the errors of an object against its information object definition (PS3.3)."""
    with _readable([path]) as (plain,):
        lines = _lines([_own("dciodvfy"), "-new", plain])
    if not lines or all(line.startswith(("Error", "Warning")) for line in lines):
        raise AssertionError(f"dciodvfy names no IOD for {path.name}: {lines[:3]}")
    return [line for line in lines if line.startswith("Error")]


def dcentvfy(paths: Iterable[Path]) -> list[str]:
    """Return where objects of one study disagree on patient, study, series or frame of reference."""
    with _readable(paths) as plain:
        return [line for line in _lines([_own("dcentvfy"), *plain]) if line.startswith("Error")]


def dsrdump(path: Path) -> tuple[str, list[str]]:
    """Return the content tree in words, and what DCMTK complains of."""
    return _read(["dsrdump", "+Pl", "+Pc", path])


def dsr2xml(path: Path) -> tuple[ET.Element, list[str]]:
    """Return the document as XML, and what DCMTK complains of."""
    text, complaints = _read(["dsr2xml", path])
    return ET.fromstring(text), complaints


def dsr2html(path: Path) -> tuple[str, list[str]]:
    """Return the document as HTML, and what DCMTK complains of."""
    return _read(["dsr2html", "+U8", path])


def pixelmed(path: Path) -> tuple[list[str], list[str]]:
    """Return the errors of a document against its templates (PS3.16), and its root template's lines."""
    limits = [f"-D{name}=0" for name in XPATH_LIMITS]
    jars = f"{JAVA_FOLDER}/pixelmed.jar:{JAVA_FOLDER}/*"
    command = ["java", *limits, "-cp", jars, "com.pixelmed.validate.DicomSRValidator"]
    lines = _lines([*command, "-checktemplateid", path])
    if "IOD validation complete" not in lines:
        raise AssertionError(f"PixelMed ended early: {lines[-5:]}")
    errors = [line for line in lines if line.startswith("Error")]
    return errors, [line for line in lines if line.startswith("Found")]


def not_known(errors: Sequence[str]) -> list[str]:
    """Return PixelMed's errors without the known false alarm."""
    return [line for line in errors if not KNOWN_FALSE_ALARM.search(line)]


@contextmanager
def _readable(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """Lend files as dicom3tools can read them: inflated, by DCMTK, where they are deflated."""
    with TemporaryDirectory() as folder:
        plain = []
        for number, path in enumerate(paths):
            plain.append(path)
            if read_file_meta_info(path).TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
                plain[-1] = Path(folder) / f"{number}-{path.name}"
                subprocess.run(["dcmconv", "+te", path, plain[-1]], check=True)
        yield plain


def _own(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def _lines(command: Sequence[str | Path]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()


def _read(command: Sequence[str | Path]) -> tuple[str, list[str]]:
    done = subprocess.run(command, capture_output=True, check=False)
    complaints = done.stderr.decode().splitlines()
    if done.returncode != 0:
        complaints.append(f"{command[0]} ended with {done.returncode}")
    return done.stdout.decode(), [line for line in complaints if not NO_FAULT.search(line)]
