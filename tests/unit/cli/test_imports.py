"""What a node that serves does not load: memory that it would hold for good."""

from __future__ import annotations

import subprocess
import sys

import pytest

UNNEEDED = ("gdcm", "requests", "openvino.tools.ovc")
"""Not imported from the node: that would keep them from everybody in this process."""
SHOW = "; import sys; print(*(name for name in {names!r} if sys.modules.get(name)))"


def loaded(program: str, *names: str) -> list[str]:
    """Which of the modules a program has loaded; it runs in a process of its own, without pytest's."""
    done = subprocess.run(
        [sys.executable, "-c", program + SHOW.format(names=names)], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("command", "expected"),
    [("serve", ["openvino"]), ("send", ["openvino", *UNNEEDED])],
)
def test_a_node_that_serves_loads_no_codec_and_no_client_of_a_server(command, expected):
    program = f"import sys; sys.argv = ['groundglass', {command!r}]; import node.__main__"
    assert loaded(program, "openvino", *UNNEEDED, "grpc", "tritonclient", "alembic") == expected


def test_a_process_that_makes_documents_loads_no_codec():
    assert loaded("import node.dicom.documents_worker", "pydicom", "gdcm") == ["pydicom"]


def test_a_process_that_receives_loads_what_receiving_needs():
    names = (
        "pynetdicom",
        "openvino",
        "cv2",
        "highdicom",
        "pydicom.sr",
        "httpx",
        "gdcm",
        "alembic",
        "uvicorn",
    )
    assert loaded("import node.cli.receiver", *names) == ["pynetdicom"]
