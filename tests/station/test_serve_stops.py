"""A node that is told to stop does, whichever of its threads the signal comes to."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.infer.bundle import Bundle
from tests.station.app_ground import install


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_another_thread_stops_the_node(
    tmp_path: Path, tiny_bundle: Bundle, number: signal.Signals
) -> None:
    place = install(tmp_path, tiny_bundle)
    command = [sys.executable, "-m", "node", "serve", "--config", str(place.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            assert "listens on" in serving.stdout.readline()
            threads = {int(item.name) for item in Path(f"/proc/{serving.pid}/task").iterdir()}
            other = max(threads - {serving.pid})
            assert ctypes.CDLL(None).tgkill(serving.pid, other, int(number)) == 0
            assert serving.wait(timeout=20) == 0
        finally:
            serving.kill()
