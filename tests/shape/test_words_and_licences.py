"""What no file may say, what needs a reason, and under which licences the product's libraries come."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from packaging.requirements import Requirement

TEXT = {".py", ".md", ".toml", ".txt", ".sh", ".yaml", ".yml", ".json", ".pbtxt", ".cfg", ".ini", ""}
MACHINE = re.compile(r"(?<![\w.])/(work|farm|root|home)/|(?<![\w.])/tmp/(?!\w*\{)")
SILENCED = re.compile(r"#\s*(noqa|type:\s*ignore)(.*)$")
REASON = re.compile(
    r"(noqa:\s*[A-Z0-9, ]+|ignore\[[\w, -]+\])\s+#\s*\S.{8,}|(noqa:\s*[A-Z0-9, ]+)\s+-+\s*\S.{8,}"
)
COPYLEFT = re.compile(r"\b(A?GPL|GNU (Affero )?General Public)", re.IGNORECASE)
LESSER = re.compile(r"LGPL|Lesser", re.IGNORECASE)


def test_no_file_names_a_place_of_one_machine(files, root):
    found = []
    for path in files:
        if path.suffix not in TEXT or path == Path("tests/shape/test_words_and_licences.py"):
            continue
        for number, line in enumerate((root / path).read_text(errors="replace").splitlines(), 1):
            if MACHINE.search(line) and not line.startswith("#!"):
                found.append(f"{path}:{number} {line.strip()[:80]}")
    assert found == []


def test_every_silenced_check_gives_its_reason(sources):
    found = []
    for source in sources:
        for number, line in enumerate(source.text.splitlines(), 1):
            match = SILENCED.search(line)
            if match and "re.compile" not in line and not REASON.search(line):
                found.append(f"{source.path}:{number} {line.strip()[:80]}")
    assert found == []


def test_no_library_is_under_the_gpl():
    seen: set[str] = set()
    waiting = ["groundglass"]
    copyleft = []
    while waiting:
        name = waiting.pop()
        if name.lower() in seen:
            continue
        seen.add(name.lower())
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra or another platform's requirement
        data = distribution.metadata
        licence = " ".join(
            [
                str(data.get("License-Expression") or ""),
                *[c for c in data.get_all("Classifier") or [] if "License" in c],
            ]
        )
        if COPYLEFT.search(licence) and not LESSER.search(licence):
            copyleft.append(f"{name}: {licence[:120]}")
        for text in distribution.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    assert copyleft == []
    assert {"pydicom", "pynetdicom", "highdicom"} <= seen
    assert not {"pylibjpeg-libjpeg"} & seen


def test_the_checks_are_able_to_fail():
    assert MACHINE.search('open("/' + 'home/somebody/x")')
    assert SILENCED.search("x = 1  # " + "noqa")
    assert not REASON.search("x = 1  # " + "noqa: E501")
    assert COPYLEFT.search("GNU General Public License v3 (GPLv3)")
