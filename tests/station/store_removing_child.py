"""A process that fills a store and removes from it again and again; it prints a line for each removal.

Run as ``python store_removing_child.py ROOT``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from node.domain.retention import Answer, Extent, RetentionRule
from node.domain.study import SeriesEvent, Verdict
from node.operate.retention import Retention
from node.store.store import Store, open_store
from tests.station.store_adding_child import RandomTokens, WallClock, add

STUDIES = 4
INSTANCES = 50  # the numbers of one study, see `store_adding_child.header`


def settle(store: Store) -> None:
    for series in store.studies.receiving_series():
        store.studies.conclude_series(
            series.id, SeriesEvent.EVIDENCE, Verdict.QUIET, "quiet", instance_count=series.instance_count
        )
    for study in store.studies.unsettled():
        store.studies.settle(study.id, [], last_arrival_at=study.last_arrival_at)


def main(root: Path) -> None:
    clock = WallClock()
    store = open_store(root, clock=clock, uids=RandomTokens())
    rule = RetentionRule(name="full", remove=Extent.STUDY, more_studies_than=1, answer=Answer.NONE)
    retention = Retention(store, [rule], clock=clock, free_bytes=lambda: 0, most=STUDIES)
    while True:
        for study in range(STUDIES):
            for number in range(0, INSTANCES, 10):
                add(store, study * INSTANCES + number)
        settle(store)
        for removed in retention.run_once():
            os.write(1, f"removed {removed.facts.study_instance_uid}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
