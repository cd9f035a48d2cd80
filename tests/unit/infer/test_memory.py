from __future__ import annotations

import re
import subprocess
import sys

PROGRAM = """
import ctypes, threading
from node.infer.memory import share_memory_among_threads
share_memory_among_threads()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
everyone = threading.Barrier(8)

def take():
    for _ in range(50):
        libc.malloc(ctypes.c_size_t(1000))
    everyone.wait()

threads = [threading.Thread(target=take) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_stats()
"""


def test_threads_share_the_memory_that_others_freed() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    assert len(re.findall(r"^Arena \d+:", done.stderr, re.MULTILINE)) == 2
