"""Regions of shared memory, as far as this side goes."""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.errors import EngineUnavailable
from node.infer.shared_memory import ALIGNMENT, FOLDER, Region, Regions, Retired, aligned, remove_abandoned
from node.infer.triton_connection import CallFailed, Code


def test_what_is_written_is_read_back_as_a_copy() -> None:
    region = Region(1024)
    batch = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    region.write(batch)
    found = region.read((3, 4), offset=48)
    region.write(np.zeros_like(batch))
    assert (found == batch[1]).all()
    region.close()


def test_regions_have_names_of_their_own_and_go_with_their_owner() -> None:
    regions = [Region(64) for _ in range(3)]
    names = {region.name for region in regions}
    assert len(names) == 3
    assert all((FOLDER / name).stat().st_mode & 0o777 == 0o600 for name in names)
    for region in regions:
        region.close()
    assert not any((FOLDER / name).exists() for name in names)


def test_more_than_there_is_room_for_is_refused_before_it_is_touched() -> None:
    own = f"groundglass-{os.getpid()}-*"
    with pytest.raises(EngineUnavailable, match="no room for"):
        Region(shutil.disk_usage(FOLDER).total + 2**30)
    assert list(FOLDER.glob(own)) == []


def test_what_a_dead_owner_left_is_removed_and_what_a_living_one_has_is_not() -> None:
    living = Region(64)
    abandoned = FOLDER / "groundglass-0-abandoned"
    abandoned.write_bytes(b"")
    remove_abandoned()
    assert not abandoned.exists()
    assert (FOLDER / living.name).exists()
    living.close()


def test_a_region_is_not_taken_for_abandoned_while_it_is_made() -> None:
    done = threading.Event()

    def sweep() -> None:
        while not done.is_set():
            remove_abandoned()

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for _ in range(300):
            region = Region(64)
            assert (FOLDER / region.name).exists()
            region.close()
    finally:
        done.set()
        sweeper.join()


@dataclass
class HoldingServer:
    """Stands where a connection does, to a server that works with the regions of some names."""

    in_use: set[str] = field(default_factory=set)
    registered: dict[str, int] = field(default_factory=dict)

    def unregister(self, name: str) -> None:
        if name in self.in_use:
            raise CallFailed(
                Code.OTHER, f"Cannot unregister shared memory region '{name}', it is currently in use."
            )
        self.registered.pop(name, None)

    def register(self, name: str, size: int) -> None:
        assert name not in self.registered
        self.registered[name] = size


def test_a_name_that_the_server_still_works_with_is_not_used_again() -> None:
    retired = Retired()
    server: Any = HoldingServer()
    regions = Regions(server, retired)
    small = regions.take(1024)
    regions.give_back(small)
    server.in_use = {small.name}
    larger = regions.take(4096)
    assert larger.name != small.name
    assert retired.names() == [small.name]

    server.in_use = set()
    again = regions.take(2048)
    assert again.name not in retired.names()
    assert server.registered == {larger.name: 4096, again.name: 2048}
    for region in (larger, again):
        regions.give_back(region)
    regions.close()
    assert server.registered == {}
    assert list(FOLDER.glob(f"groundglass-{os.getpid()}-*")) == []


@given(st.integers(0, 2**40))
def test_offsets_are_aligned_and_never_before_what_comes_first(size: int) -> None:
    offset = aligned(size)
    assert offset % ALIGNMENT == 0
    assert size <= offset < size + ALIGNMENT
