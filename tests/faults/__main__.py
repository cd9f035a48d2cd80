"""Fuzzing for as long as wanted: ``python -m tests.faults TARGET [--seconds N] [--runs N] [FOLDER ...]``.

TARGET is one of `tests.faults.targets.TARGETS`. The fuzzer, atheris (extra ``fuzz``), is led by which lines
of the node and its libraries a run reaches. It begins with the generated seeds, the corpus beside this file
and the files of further folders, which it only reads. What reaches something new is kept in the folder of
``--keep``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

CORPUS = Path(__file__).with_name("corpus")
INSTRUMENTED = [
    "node.dicom",
    "node.dimse",
    "node.web.multipart_reader",
    "pynetdicom.pdu",
    "pynetdicom.pdu_items",
    "pynetdicom.dimse_messages",
]

with atheris.instrument_imports(include=INSTRUMENTED):
    from tests.faults import targets


def write_seeds(target: str, folder: Path) -> None:
    """Write the generated seeds of a target as files."""
    for name, data in targets.seeds_of(target).items():
        (folder / name).write_bytes(data)


def main() -> None:
    """Fuzz one target."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("target", choices=sorted(targets.TARGETS))
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--max-bytes", type=int, default=8192)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--crashes", type=Path, default=Path.cwd())
    options = parser.parse_intermixed_args()
    targets.quiet()
    target = targets.TARGETS[options.target]
    with tempfile.TemporaryDirectory() as made:
        write_seeds(options.target, Path(made))
        keep = options.keep or Path(made) / "kept"
        keep.mkdir(parents=True, exist_ok=True)
        beside = CORPUS / options.target
        given = [str(folder) for folder in (Path(made), beside, *options.folders) if folder.is_dir()]
        arguments = [
            f"-max_total_time={options.seconds}",
            f"-runs={options.runs}",
            f"-max_len={options.max_bytes}",
            f"-artifact_prefix={options.crashes}/",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ]

        def run(data: bytes) -> None:
            target(data)

        atheris.Setup([sys.argv[0], *arguments, str(keep), *given], run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
