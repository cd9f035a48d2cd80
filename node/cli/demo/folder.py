"""The folder that the demo leaves behind: what is its own is replaced, what is not is never touched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from node.domain.errors import SettingsError

MARK = "summary.json"
SCHEMA = "groundglass.demo-summary"
FILES = ("report.txt", "summary.png", "node.log", MARK)
FOLDERS = ("received", "phantom", "node-data")


class DemoFolder:
    """OUT and the places within it.

    Parameters
    ----------
    out : Path
        Made when it is not there.  A folder that an earlier demo left is taken over: its files are replaced.

    Raises
    ------
    SettingsError
        When something of the same name lies there that no demo made.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.received = out / "received"
        self.phantom = out / "phantom"
        self.data = out / "node-data"
        self.report = out / "report.txt"
        self.picture = out / "summary.png"
        self.log = out / "node.log"
        self.summary = out / MARK
        if out.exists() and not out.is_dir():
            raise SettingsError(f"--out {out}: is a file; name a folder")
        present = [name for name in (*FILES, *FOLDERS) if (out / name).exists()]
        if present and not _is_ours(self.summary):
            raise SettingsError(
                f"--out {out}: {present[0]} is there and no earlier demo made it; name another folder"
            )
        self._clear()
        out.mkdir(parents=True, exist_ok=True)
        self.write_summary({"finished": False})

    def write_summary(self, content: dict[str, Any]) -> None:
        """Write summary.json; it also marks the folder as a demo's."""
        text = json.dumps({"schema": SCHEMA, "schema_version": 1, **content}, indent=1, ensure_ascii=False)
        self.summary.write_text(text + "\n", encoding="utf-8")

    def drop_data(self) -> None:
        """Remove the store of the node that ran for the demo."""
        shutil.rmtree(self.data, ignore_errors=True)

    def _clear(self) -> None:
        """Remove what an earlier demo wrote: its files by their names, nothing else."""
        for path in [*self.received.glob("*.dcm"), *self.phantom.glob("*.dcm")]:
            path.unlink()
        for name in FILES:
            (self.out / name).unlink(missing_ok=True)
        self.drop_data()


def _is_ours(summary: Path) -> bool:
    try:
        content = json.loads(summary.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("schema") == SCHEMA
