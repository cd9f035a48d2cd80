from __future__ import annotations

from pathlib import Path

from node.dicom.scratch import scratch_file
from node.domain.identity import derived_uid
from node.store.object_files import SPOOL, LocalObjectFiles


def test_what_a_crash_leaves_is_swept_with_the_spool(tmp_path):
    class Uids:
        def token(self) -> str:
            return "a"

        def uid(self) -> str:
            return derived_uid("none")

    files = LocalObjectFiles(tmp_path, Uids())
    with scratch_file(tmp_path / SPOOL) as file:
        path = Path(file.name)
        assert path.stat().st_mode & 0o077 == 0  # patients' data
        assert files.sweep_spool("a") == 0  # what one receiving process left; this is another's
        path.with_name("sending-copy.part").write_bytes(b"left by a crash")
    assert not path.exists()
    assert files.sweep_spool() == 1
