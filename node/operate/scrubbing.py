"""Scrubbing: every object file is read again in its time, for disks lose bytes silently."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Final

from node.domain.ports import Clock
from node.store.store import Store
from node.store.verification import Round

log = logging.getLogger(__name__)

BATCH: Final = 100
"""Names that are looked up at a time."""
PAUSE_SECONDS: Final = 60.0
"""While objects arrive nothing is read, for so long; then a quarter of what may be."""
SLOWER: Final = 4
SAVE_SECONDS: Final = 60.0
"""How far it is, is written down so often: what was read since is read again after a crash."""
LONGEST_SECONDS: Final = 5.0
"""Of one run, where the disk is slow; and what was left undone for longer is not made up for at once."""


class Scrubbing:
    """Reads the files in the order of their names, evenly over the time of a round.

    Every name comes up once a round, so whichever file is next was not read for longest.

    Parameters
    ----------
    store : Store
    clock : Clock
    within : timedelta
        Time of a round.
    bytes_per_second : float
        No more is read.
    """

    def __init__(self, store: Store, *, clock: Clock, within: timedelta, bytes_per_second: float) -> None:
        self._store = store
        self._clock = clock
        self._within = within
        self._rate = bytes_per_second
        self._newest = -1
        self._looked_at = clock.monotonic()
        self._quiet_at = self._looked_at
        self._saved_at = self._looked_at
        self._room = 0.0
        """Bytes that may be read; below zero after a file that was longer than what was left."""
        self._current: Round | None = None
        self._saved: Round | None = None

    def run_once(self) -> int:
        """Read what is due; to be called every few seconds. Returns how many files were read.

        Raises
        ------
        StoreError
        """
        self._gain()
        today = self._clock.now()
        current = self._current or self._store.verification.current() or Round(position="", began_at=today)
        if current.began_at > today:  # the time of day was set back
            current = replace(current, began_at=today - current.share * self._within)
        current, done, ended = self._read(current, due=(today - current.began_at) / self._within)
        if ended:
            current = Round(position="", began_at=today)
        now = self._clock.monotonic()
        if current != self._saved and (self._saved is None or ended or now - self._saved_at >= SAVE_SECONDS):
            self._store.verification.save(current)
            self._saved, self._saved_at = current, now
        self._current = current
        return done

    def _read(self, current: Round, *, due: float) -> tuple[Round, int, bool]:
        """Read files up to the share that is due; return how far, how many, and whether the round is over."""
        done = 0
        while self._room > 0:
            batch = self._store.verification.following(current.position, BATCH)
            for key, size in batch:
                following = replace(current, position=key)
                late = self._clock.monotonic() - self._looked_at > LONGEST_SECONDS
                if self._room <= 0 or following.share > due or late:
                    return current, done, False
                if not self._store.damage.verify(key, size):
                    log.error("object file %s is missing or damaged; see `groundglass integrity`", key)
                current, done = following, done + 1
                self._room -= size
            if not batch:
                return current, done, due >= 1
        return current, done, False

    def _gain(self) -> None:
        """Allow so much as may be read by now."""
        now = self._clock.monotonic()
        newest, since = self._store.verification.newest(), min(now - self._looked_at, LONGEST_SECONDS)
        self._looked_at = now
        arriving, self._newest = newest != self._newest, newest
        if not arriving:
            self._quiet_at = now
            rate = self._rate
        else:
            rate = self._rate / SLOWER if now - self._quiet_at >= PAUSE_SECONDS else 0.0
        # Never more than one look's worth: nothing is saved up while nothing is due.
        self._room = min(self._room, 0.0) + rate * since
