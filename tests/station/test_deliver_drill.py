"""The drill: one PACS is dead for an hour; the other must not notice, nothing is lost or sent twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from node.domain.delivery import Delivery
from node.domain.network import Proof
from node.run.schedule import Tick, Ticks
from node.settings.tables import DeliverSettings
from tests.station.drill_ground import DeadHost, Pacs
from tests.station.outbox_ground import ARCHIVE, PACS, Outbox, make_outbox, screen, sender_to
from tests.station.receiving_node import WallClock, wait_until

SETTINGS = DeliverSettings()
TICK = timedelta(seconds=10)
EVERY = timedelta(minutes=10)
"""Between two studies."""
DEAD_FROM, DEAD_FOR, END = timedelta(minutes=5), timedelta(hours=1), timedelta(minutes=72)


@dataclass
class Drill:
    """An hour and some, in steps, with the settings of the product."""

    outbox: Outbox
    folder: Path
    pacs: Pacs
    archive: Pacs
    made: dict[str, datetime]
    """When the results of each study were made, by SOP Instance UID."""
    attempts: int = 0
    """On the dead PACS."""
    recovered: timedelta | None = None
    """How long after its return everything for it was proven."""

    def run(self) -> None:
        courier = self.outbox.courier(
            sender_to(PACS, self.pacs.port, proof=Proof.AUTO),
            sender_to(ARCHIVE, self.archive.port, proof=Proof.AUTO),
            backoff=SETTINGS.backoff(),
            patience=SETTINGS.patience(),
        )
        clock, begin, dead = self.outbox.clock, self.outbox.clock.at, None
        while (now := clock.at - begin) < END:
            if dead is None and DEAD_FROM <= now < DEAD_FROM + DEAD_FOR:
                self.pacs.stop()
                dead = DeadHost(self.pacs.port)
            if dead is not None and now >= DEAD_FROM + DEAD_FOR:
                self.attempts = dead.connections
                dead.stop()
                dead = None
                self.pacs.start()
            if now % EVERY == timedelta():
                self.screen(number=now // EVERY)
            for destination in courier.destinations:
                courier.run_once(destination)
            self.look(now - DEAD_FROM - DEAD_FOR)
            clock.at += TICK

    def screen(self, number: int) -> None:
        screen(self.outbox.store, self.folder, f"drill {number}", (PACS, ARCHIVE))
        for item in self.outbox.store.outbox.for_study(number + 2):
            self.made[item.sop_instance_uid] = self.outbox.clock.at

    def look(self, since_return: timedelta) -> None:
        proven = self.outbox.store.proofs.oldest(PACS) is None and not self.open(PACS)
        if since_return < timedelta() or not proven:
            self.recovered = None
        elif self.recovered is None:
            self.recovered = since_return

    def open(self, destination: str) -> int:
        counts = self.outbox.store.outbox.counts()
        return sum(n for (name, state), n in counts.items() if name == destination and state != "delivered")

    def everything(self) -> list[Delivery]:
        studies = self.outbox.store.studies.list(100)
        return [item for study in studies for item in self.outbox.store.outbox.for_study(study.id)]

    def delays(self, destination: str) -> list[float]:
        """Return how long each result took to be accepted, in seconds."""
        return [
            (item.accepted_at - self.made[item.sop_instance_uid]).total_seconds()
            for item in self.everything()
            if item.destination == destination and item.sop_instance_uid in self.made
        ]


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Drill]:
    outbox = make_outbox(tmp_path / "node", (PACS, ARCHIVE))
    pacs, archive = Pacs(), Pacs()
    pacs.start()
    archive.start()
    yield Drill(outbox=outbox, folder=tmp_path, pacs=pacs, archive=archive, made={})
    pacs.stop()
    archive.stop()
    outbox.store.close()


def test_a_pacs_that_is_dead_for_an_hour_costs_the_other_one_nothing_and_loses_nothing(drill):
    drill.run()

    objects = 3 + len(drill.made)
    counts = drill.outbox.store.outbox.counts()
    assert counts == {(PACS, "delivered"): objects, (ARCHIVE, "delivered"): objects}
    for arrived in (drill.pacs.stored, drill.archive.stored):
        assert set(arrived.values()) == {1}  # nothing twice
        assert len(arrived) == objects
    assert set(drill.delays(ARCHIVE)) == {0.0}  # in the step in which they were made
    assert max(drill.delays(PACS)) > 3000
    # Three failures, five growing pauses to 300 s, then one probe every 240 to 300 s.
    assert 3 < drill.attempts <= 3 + 5 + 3600 // 240
    assert drill.recovered is not None
    assert drill.recovered <= SETTINGS.patience().longest + 2 * TICK
    assert drill.outbox.store.breakers.all_failing() == {}
    # An hour of failures has used up no attempt.
    assert {item.attempts for item in drill.everything()} == {1}


def test_a_destination_that_hangs_holds_up_no_other(tmp_path):
    outbox = make_outbox(tmp_path / "node", (PACS, ARCHIVE))
    hanging, archive = DeadHost(hangs=True), Pacs()
    courier = outbox.courier(
        sender_to(PACS, hanging.port),
        sender_to(ARCHIVE, archive.start(), proof=Proof.AUTO),
        clock=WallClock(),
    )
    ticks = Ticks(
        [
            Tick(name=name, every=timedelta(seconds=0.1), action=partial(courier.run_once, name))
            for name in courier.destinations
        ],
        clock=WallClock(),
    )
    ticks.start()
    wait_until(hanging.is_waited_for, "the courier to wait for the PACS that hangs")
    for number in range(5):
        screen(outbox.store, tmp_path, f"late {number}", (PACS, ARCHIVE))
    wait_until(lambda: len(archive.stored) == 18, "everything to be in the archive")
    assert hanging.is_waited_for()
    assert hanging.connections == 1

    hanging.stop()
    ticks.stop()
    archive.stop()
    assert set(archive.stored.values()) == {1}
    outbox.store.close()
