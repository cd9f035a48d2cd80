"""The models of the running node, put together: engines by the settings, versions by the store."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from node.decide.routing import Routing, Shadow, model_reference
from node.domain.errors import (
    BundleError,
    GroundglassError,
    HandshakeFailed,
    InputSpecError,
    SettingsError,
)
from node.domain.job import ACTIVE_VERSION, Assignment, Purpose
from node.domain.model import ModelIdentity, Precision
from node.domain.ports import Clock, Scorer
from node.domain.selection_spec import SelectionSpec
from node.infer.bundle import Bundle, installed, load_bundle, read_spec
from node.infer.canary import CanaryReading, CanaryState
from node.infer.golden import Differences, replay
from node.infer.openvino import EmbeddedScorer
from node.infer.served import EngineRoom, EngineSource, ModelReading
from node.operate.health import ModelCheck
from node.report.identity import device_uid_of
from node.settings.settings import Settings
from node.store.operations import OperationRecords
from node.store.store import Store

log = logging.getLogger(__name__)

TRITON = "triton"
KEPT_ENGINES = 3
"""Engines beyond which one that rests is closed; a promotion keeps the former version at hand for a while."""


@runtime_checkable
class Remote(Protocol):
    """An engine that somebody else may change."""

    def verify(self) -> None:
        """Shake hands again, now; raises ModelError."""
        ...


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A verified model version and the engine that runs it."""

    bundle: Bundle
    scorer: Scorer[NDArray[np.float32]]

    def replay(self) -> Differences:
        """Prove the engine.

        Raises
        ------
        ModelError
        """
        return prove(self.bundle, self.scorer)


def open_scorer(bundle: Bundle, settings: Settings, clock: Clock) -> Scorer[NDArray[np.float32]]:
    """Start the engine of the settings for a bundle.

    Raises
    ------
    SettingsError, ModelError
    """
    if settings.infer.engine == TRITON:
        from node.infer.triton import TritonScorer  # noqa: PLC0415 -- gRPC: 14 MB, for those who have a server

        return TritonScorer(bundle, settings.infer.triton.record(), clock=clock)
    return open_embedded(bundle, settings, settings.infer.precision)


def open_embedded(bundle: Bundle, settings: Settings, precision: Precision) -> EmbeddedScorer:
    """Start the engine within this process, whatever the settings' engine is.

    Raises
    ------
    SettingsError, ModelError
    """
    infer = settings.infer
    return EmbeddedScorer(
        bundle,
        precision=precision,
        threads=infer.threads,
        cache_dir=infer.cache_dir,
        streams=infer.streams,
    )


def prove(bundle: Bundle, scorer: Scorer[NDArray[np.float32]]) -> Differences:
    """Compare the engine's answer to the golden slices with the stored one, on a server after a handshake.

    Raises
    ------
    ModelError
    """
    if isinstance(scorer, Remote):
        scorer.verify()
    return replay(bundle, scorer)


def open_engine(
    settings: Settings,
    store: Store | None,
    clock: Clock,
    name: str | None = None,
    version: int | None = None,
) -> Engine:
    """Read a model version, shake hands and start an engine of its own for it.

    Parameters
    ----------
    settings : Settings
    store : Store or None
        Knows the active versions; without one, the folder's own version is active.
    clock : Clock
    name : str, optional
        By default the model for CT.
    version : int, optional
        By default the active one.

    Raises
    ------
    ModelError
        The folder is absent or malformed, its parts do not belong together, or the engine does not start.
    """
    name = settings.infer.model if name is None else name
    if version is None and store is not None:
        version = store.promotions.active(name)
    bundle = load_bundle(installed(settings.infer.models_dir, name), version)
    return Engine(bundle=bundle, scorer=open_scorer(bundle, settings, clock))


class KnownModels:
    """The registry of models, with the Device UIDs of all that they ever made here.

    Parameters
    ----------
    operations : OperationRecords
    """

    def __init__(self, operations: OperationRecords) -> None:
        self._operations = operations
        self._lock = threading.Lock()
        self._followers: list[Callable[[frozenset[str]], None]] = []
        self._device_uids = frozenset(device_uid_of(*model) for model in operations.registered_models())

    def register_model(self, name: str, version: int, spec_sha256: str, weights_sha256: str) -> None:
        """Remember the digests of a model version.

        Raises
        ------
        HandshakeFailed
            It is known with other digests.
        """
        self._operations.register_model(name, version, spec_sha256, weights_sha256)

    def note(self, bundle: Bundle) -> None:
        """Remember what the results of a bundle will name as their device."""
        digests = [bundle.weights_sha256, *([bundle.int8_sha256] if bundle.int8_sha256 else [])]
        with self._lock:
            self._device_uids |= {device_uid_of(bundle.name, bundle.version, item) for item in digests}
            for follower in self._followers:
                follower(self._device_uids)

    def follow(self, follower: Callable[[frozenset[str]], None]) -> None:
        """Tell somebody of the Device UIDs, now and whenever one is added, before a result bears it."""
        with self._lock:
            self._followers.append(follower)
            follower(self._device_uids)

    def device_uids(self) -> frozenset[str]:
        """Return the Device UIDs (0018,1002) of this node's results, for the loop guard."""
        return self._device_uids


def routing_of(settings: Settings) -> Routing:
    """Return the rules of the settings, once every model that they name is installed and reads what it must.

    Raises
    ------
    SettingsError
        A model reads other images than those that are led to it.
    ModelError
        A model is not installed, or its specification cannot be read.
    """
    infer = settings.infer
    shadows = []
    for text in infer.shadow:
        name, version = model_reference(text)
        folder = installed(infer.models_dir, name)
        spec = read_spec(folder, None if version == ACTIVE_VERSION else version)
        shadows.append(Shadow(model_name=name, model_version=version, modality=spec.modality))
    routing = Routing(
        ct_model=infer.model,
        radiograph_model=infer.radiograph_model,
        routes=tuple(route.record() for route in infer.routes),
        shadows=tuple(shadows),
    )
    for name, modality in routing.reporting:
        found = read_spec(installed(infer.models_dir, name)).modality
        if found is not modality:
            raise SettingsError(f"infer: {name} reads {found}, and {modality} is led to it; choose another")
    return routing


def engine_room(
    settings: Settings, store: Store, clock: Clock, known: KnownModels, wanted: Sequence[Assignment]
) -> EngineRoom:
    """Return the served models, none of them open.

    On a server, where somebody else may change what answers, the golden answer is replayed before each study.
    """
    remote = settings.infer.engine == TRITON

    def opened(bundle: Bundle) -> Scorer[NDArray[np.float32]]:
        known.note(bundle)
        return open_scorer(bundle, settings, clock)

    return EngineRoom(
        EngineSource(
            models_dir=settings.infer.models_dir,
            active=store.promotions.active,
            registry=known,
            open_scorer=opened,
            prove=prove,
            approve=approval_of(settings, store),
            canary_every=timedelta(seconds=0 if remote else settings.infer.canary_seconds),
        ),
        clock,
        keep=KEPT_ENGINES,
        wanted=wanted,
    )


def open_wanted(models: EngineRoom, wanted: Sequence[Assignment], *, remote: bool) -> None:
    """Open what studies may be assigned to, so that a wrong installation shows at the start.

    A shadow that cannot be opened is logged and shown by the health endpoint: it keeps nothing from working.
    A server is not asked yet, for it may hang: studies are received meanwhile, and wait.

    Parameters
    ----------
    models : EngineRoom
    wanted : sequence of Assignment
    remote : bool
        Whether a server answers.

    Raises
    ------
    SettingsError, ModelError
        A model that answers for studies cannot be opened, or its golden replay fails.
    """
    for item in wanted:
        try:
            if remote:
                models.prepare(item.model_name, item.model_version)
            else:
                with models.serve(item.model_name, item.model_version):
                    pass
        except GroundglassError as error:
            installed_wrongly = isinstance(error, BundleError | InputSpecError | SettingsError)
            if item.purpose is Purpose.REPORT and (installed_wrongly or not remote):
                raise
            log.error("model %s cannot be opened: %s", item.model_name, error)  # noqa: TRY400 -- the error says all


def selection_of(settings: Settings, store: Store) -> Callable[[], SelectionSpec]:
    """Return what tells how the active model for CT selects slices; it reads each version once.

    What is returned raises ModelError.
    """
    name = settings.infer.model

    @cache
    def read(version: int | None) -> SelectionSpec:
        return read_spec(installed(settings.infer.models_dir, name), version).selection

    return lambda: read(store.promotions.active(name))


def model_checks(readings: Sequence[ModelReading]) -> tuple[ModelCheck, ...]:
    """Return what the operator is told of every model in use."""
    return tuple(
        ModelCheck(
            name=item.name,
            version=item.version,
            reports=item.reports,
            state=item.canary.state.value,
            checked_at=_seconds(item.canary.checked_at),
            problem=_problem(item.canary),
        )
        for item in readings
    )


def _seconds(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="seconds")


def _problem(reading: CanaryReading) -> str:
    return "" if reading.state is CanaryState.CLOSED else reading.reason or reading.state.value


Approval = Callable[[Bundle, ModelIdentity], None]


def approval_of(settings: Settings, store: Store) -> Approval:
    """Return what lets an engine answer for patients: a server, once its golden replay was accepted.

    Within this process the replay itself is all there is to accept. What is returned raises HandshakeFailed.
    """
    triton = settings.infer.triton

    def approve(bundle: Bundle, identity: ModelIdentity) -> None:
        asked = settings.infer.engine == TRITON and triton.require_acceptance
        if asked and not store.acceptances.accepted(
            triton.url,
            bundle.name,
            bundle.version,
            spec_sha256=identity.spec_sha256,
            weights_sha256=identity.weights_sha256,
            precision=identity.precision.value,
        ):
            raise HandshakeFailed(
                f"{bundle.name} version {bundle.version} was not accepted at {triton.url} with these bytes "
                f"at {identity.precision.value}; run `groundglass models accept`"
            )

    return approve
