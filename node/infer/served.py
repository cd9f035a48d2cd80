"""The served models: a verified bundle, its engine and its canary, for each version that is in use.

A screening gets its model here and keeps it to its end. Which version of a model is the active one is asked
anew each time, so that a promotion takes effect with the next study, while studies that are under way finish
on the version that they began with.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from node.domain.errors import EngineUnavailable, ModelError, SettingsError
from node.domain.job import ACTIVE_VERSION, Assignment, Purpose
from node.domain.model import ModelIdentity
from node.domain.ports import Clock, Scorer
from node.infer.bundle import Bundle, ModelRegistry, files_of, installed, load_bundle, own_version
from node.infer.canary import Canary, CanaryReading, CanaryState

log = logging.getLogger(__name__)

Real = NDArray[np.float32]
Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Served:
    """One version of a model, ready to answer."""

    bundle: Bundle
    scorer: Scorer[Real]
    guard: Canary
    """Lets a screening through while the golden replay passes."""


@dataclass(frozen=True, kw_only=True)
class ModelReading:
    """What the operator sees of one version of a model."""

    name: str
    version: int
    """``ACTIVE_VERSION`` where nobody can say which one is active."""
    reports: bool
    """Whether studies are answered by it now; not a shadow, and not a version that was active before."""
    canary: CanaryReading


@dataclass(frozen=True, kw_only=True)
class EngineSource:
    """Where engines come from, and what they are held against."""

    models_dir: Path
    active: Callable[[str], int | None]
    """The version of a name that was promoted last; None when none ever was."""
    registry: ModelRegistry
    open_scorer: Callable[[Bundle], Scorer[Real]]
    prove: Callable[[Bundle, Scorer[Real]], object]
    """Replays the golden answer; raises ModelError when it differs."""
    approve: Callable[[Bundle, ModelIdentity], None]
    """Raises ModelError while this engine may not answer for patients."""
    canary_every: timedelta
    """How long a golden replay holds; zero repeats it before each study."""

    def version(self, name: str, version: int) -> int:
        """Return the version that is asked for by ``version``, the active one by ``ACTIVE_VERSION``.

        Raises
        ------
        BundleError
            The model is not installed.
        """
        if version != ACTIVE_VERSION:
            return version
        promoted = self.active(name)
        if promoted is not None:
            return promoted
        return own_version(installed(self.models_dir, name))


class EngineRoom:
    """Opens engines when they are asked for, keeps them, and closes what nobody uses any more.

    Parameters
    ----------
    source : EngineSource
    clock : Clock
    keep : int
        Engines that stay open without a screening; of more, the one that rested longest is closed.
    wanted : sequence of Assignment
        What studies may be assigned to: it is kept ready, and the operator is told of it.
    """

    def __init__(
        self, source: EngineSource, clock: Clock, *, keep: int, wanted: Sequence[Assignment]
    ) -> None:
        self._source = source
        self._clock = clock
        self._keep = max(keep, len(wanted))
        self._wanted = tuple(wanted)
        self._lock = threading.Lock()
        self._turns = itertools.count()
        self._slots: dict[tuple[str, int], _Slot] = {}
        self._problems: dict[tuple[str, int], CanaryReading] = {}
        self._closed = False

    @contextmanager
    def serve(self, model_name: str, model_version: int = ACTIVE_VERSION) -> Iterator[Served]:
        """Lend one version of a model for one screening.

        It is opened when it is not, and then its golden answer is replayed before anything else.

        Parameters
        ----------
        model_name : str
        model_version : int
            Or ``ACTIVE_VERSION``.

        Raises
        ------
        ModelError
            It is not installed, its parts do not belong together, the engine does not start or may not
            answer here, the replay failed, or the room is closed.
        """
        key = (model_name, self._source.version(model_name, model_version))
        slot = self._take(key)
        try:
            yield self._ready(key, slot)
        finally:
            self._give_back(slot)

    def prepare(self, model_name: str, model_version: int = ACTIVE_VERSION) -> None:
        """Open one version and ask nothing of its engine, which may be a server that does not answer now.

        Raises
        ------
        SettingsError, ModelError
            It is not installed, its parts do not belong together, or the engine does not start.
        """
        key = (model_name, self._source.version(model_name, model_version))
        slot = self._take(key)
        try:
            with slot.opening:
                if slot.served is None:
                    self._open(key, slot)
        except (ModelError, SettingsError) as error:
            self._note(key, error)
            raise
        finally:
            self._give_back(slot)

    def tick(self) -> None:
        """Open what is wanted and not open, and replay every golden answer that is due."""
        for name, version in self._watched():
            try:
                with self.serve(name, version) as served:
                    served.guard.tick()
            except (ModelError, SettingsError) as error:
                log.warning("model %s: %s", name, error)

    def readings(self) -> tuple[ModelReading, ...]:
        """Return what is known of every wanted version and of every other open one."""
        return tuple(
            ModelReading(name=name, version=version, reports=reports, canary=self._reading((name, version)))
            for (name, version), reports in self._watched().items()
        )

    def close(self) -> None:
        """Close every engine and open none any more; whoever still waits for one is told at once."""
        with self._lock:
            self._closed = True
            slots = list(self._slots.values())
            self._slots.clear()
            for slot in slots:
                slot.retired = True  # one that is being opened right now is closed by whoever opens it
        for slot in slots:
            slot.close()

    def _take(self, key: tuple[str, int]) -> _Slot:
        """Return the slot of a version, marked as in use; one whose files changed gives way to a new one."""
        with self._lock:
            if self._closed:
                raise EngineUnavailable("the node stops: no engine is lent any more")
            slot = self._slots.get(key)
            if slot is None or slot.is_stale():
                if slot is not None:
                    log.warning("model %s version %d: its files changed, it is opened anew", *key)
                    self._retire(slot)
                slot = self._slots[key] = _Slot()
            slot.users += 1
            slot.turn = next(self._turns)
            return slot

    def _give_back(self, slot: _Slot) -> None:
        with self._lock:
            slot.users -= 1
            resting = sorted(
                (item for item in self._slots.items() if item[1].served is not None and not item[1].users),
                key=lambda item: item[1].turn,
            )
            surplus = resting[: max(0, len(resting) - self._keep)]
            closing = [self._slots.pop(key) for key, _ in surplus]
            if slot.retired and not slot.users:
                closing.append(slot)
            resting_now = not slot.users and slot not in closing
        for item in closing:
            item.close()
        if resting_now:
            slot.rest()

    def _retire(self, slot: _Slot) -> None:
        slot.retired = True
        if not slot.users:
            slot.close()

    def _ready(self, key: tuple[str, int], slot: _Slot) -> Served:
        try:
            with slot.opening:
                served = slot.served or self._open(key, slot)
                if served.guard.reading.state is CanaryState.UNPROVEN:
                    served.guard.check()
            self._source.approve(served.bundle, served.scorer.identity)
        except (ModelError, SettingsError) as error:
            self._note(key, error)
            raise
        with self._lock:
            self._problems.pop(key, None)
        return served

    def _open(self, key: tuple[str, int], slot: _Slot) -> Served:
        name, version = key
        bundle = load_bundle(installed(self._source.models_dir, name), version)
        bundle.register(self._source.registry)
        stamp = stamp_of(bundle)
        scorer = self._source.open_scorer(bundle)
        served = Served(
            bundle=bundle,
            scorer=scorer,
            guard=Canary(
                clock=self._clock,
                every=self._source.canary_every,
                replay=lambda: self._source.prove(bundle, scorer),
            ),
        )
        slot.fill(served, stamp)
        log.info("model %s version %d is open", name, version)
        return served

    def _note(self, key: tuple[str, int], error: Exception) -> None:
        reading = CanaryReading(state=CanaryState.OPEN, checked_at=self._clock.now(), reason=str(error))
        with self._lock:
            self._problems[key] = reading

    def _watched(self) -> dict[tuple[str, int], bool]:
        """Return every wanted version and every other open one, with whether studies are answered by it."""
        found: dict[tuple[str, int], bool] = {}
        for item in self._wanted:
            key = (item.model_name, self._known_version(item.model_name, item.model_version))
            found[key] = found.get(key, False) or item.purpose is Purpose.REPORT
        with self._lock:
            opened = [key for key, slot in self._slots.items() if slot.served is not None]
        return found | {key: False for key in opened if key not in found}

    def _known_version(self, name: str, version: int) -> int:
        """Return the version that is asked for, ``ACTIVE_VERSION`` where that cannot be told."""
        try:
            return self._source.version(name, version)
        except (ModelError, SettingsError) as error:
            self._note((name, ACTIVE_VERSION), error)
            return ACTIVE_VERSION

    def _reading(self, key: tuple[str, int]) -> CanaryReading:
        with self._lock:
            slot, problem = self._slots.get(key), self._problems.get(key)
        if problem is not None:
            return problem
        if slot is not None and slot.served is not None:
            return slot.served.guard.reading
        return CanaryReading(state=CanaryState.UNPROVEN, checked_at=None, reason="")


class _Slot:
    """The place of one version, filled when its engine is open."""

    def __init__(self) -> None:
        self.opening = threading.Lock()
        self.served: Served | None = None
        self.users = 0
        self.turn = 0
        self.retired = False
        self._stamp: Stamp = ()

    def fill(self, served: Served, stamp: Stamp) -> None:
        self.served, self._stamp = served, stamp

    def is_stale(self) -> bool:
        """Whether the files are not those that were opened."""
        return self.served is not None and stamp_of(self.served.bundle) != self._stamp

    def rest(self) -> None:
        if self.served is not None:
            self.served.scorer.rest()

    def close(self) -> None:
        if self.served is not None:
            self.served.scorer.close()


def stamp_of(bundle: Bundle) -> Stamp:
    """Return what changes when a file of the bundle is written anew; a missing file has zeros."""
    return tuple(_stamp(path) for path in files_of(bundle))


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)
