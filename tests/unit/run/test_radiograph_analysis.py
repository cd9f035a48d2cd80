"""What stands beside a radiograph on the pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.dicom.pixel_file import IN_PROCESS
from node.dicom.radiograph import RadiographSource, read_view
from node.dicom.read import read_header
from node.domain.wording import ENGLISH
from node.run.radiograph_analysis import RadiographAnalysis
from tests.radiograph_objects import radiograph_object
from tests.screening_ground import part10


@pytest.mark.parametrize(
    ("position", "named"), [("PA", "PA"), ("AP", "AP"), (None, "view not named")], ids=["PA", "AP", "none"]
)
def test_each_view_is_named(position: str | None, named: str, tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(part10(radiograph_object(ViewPosition=position)))
    source = RadiographSource(header=read_header(path), path=path, view=read_view(path), codecs=IN_PROCESS)
    analysis = RadiographAnalysis(
        headers=(source.header,), sources=(source,), pixel_digests=("",), scored=(), words=ENGLISH
    )
    assert analysis._named(0) == f"Image 1 of 1, {named}"
