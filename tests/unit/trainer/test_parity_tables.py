"""The parity tables' verdicts, and the interpreter that TensorFlow needs."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.parity.environment import python_of
from tests.parity.table import Row, Table


def row(found: float, tolerance: float | None = 1e-5) -> Row:
    return Row(what="net", against="Keras", found=found, tolerance=tolerance)


@pytest.mark.parametrize(
    ("rows", "holds"),
    [
        ([row(1e-6), row(1e-5)], True),
        ([row(1e-6), row(2e-5)], False),
        ([row(float("nan"))], False),
        ([row(1.0, None)], True),
        ([], False),
    ],
)
def test_a_table_holds_where_every_judged_row_does(rows: list[Row], holds: bool) -> None:
    table = Table(title="1.", unit="difference", rows=rows)
    assert table.holds is holds
    assert ("TOO FAR" in table.text()) is (bool(rows) and not holds)


def test_a_python_that_tensorflow_has_no_wheel_for_is_refused(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 3 12\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(SystemExit, match=r"3\.9 to 3\.11"):
        python_of(tmp_path / "environment", str(python))
