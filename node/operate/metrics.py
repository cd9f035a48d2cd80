"""Metrics for Prometheus, in a registry of the node's own.

What the index knows is counted there at the time of the scrape, so that a restart loses nothing; the rest is
counted as it happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from node.domain.breaker import BreakerState
from node.domain.job import Purpose
from node.domain.result import Outcome
from node.domain.study import AssociationEnd, Intake
from node.operate.destinations import DestinationCheck

STAGE_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)  # seconds


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What the index counts."""

    screenings: Mapping[str, int]
    """By state; shadows are counted apart."""
    shadows: Mapping[str, int]
    """Shadow screenings by state."""
    deliveries: Mapping[tuple[str, str], int]
    """By destination and state."""
    destinations: Sequence[DestinationCheck]
    """How each destination of the settings fares."""


class Metrics:
    """Counts what happens and reads the rest from the index.

    Parameters
    ----------
    figures : callable
        Reads the index; called for each scrape.
    """

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._instances = Counter(
            "groundglass_instances_received",
            "Acknowledged instances by what became of them",
            ["intake"],
            registry=self.registry,
        )
        self._open = Gauge("groundglass_associations_open", "Associations open now", registry=self.registry)
        self._ended = Counter(
            "groundglass_associations_ended", "Associations by their end", ["end"], registry=self.registry
        )
        self._refused = Counter(
            "groundglass_associations_refused", "Callers that were not let in", registry=self.registry
        )
        self._stages = Histogram(
            "groundglass_stage_seconds",
            "Duration of the stages of a screening",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        self._outcomes = Counter(
            "groundglass_outcomes", "Decisions by outcome", ["outcome"], registry=self.registry
        )
        self._shadow_outcomes = Counter(
            "groundglass_shadow_outcomes",
            "Decisions of shadows by outcome",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in Outcome:
            self._outcomes.labels(outcome.value)
            self._shadow_outcomes.labels(outcome.value)
        for intake in Intake:
            self._instances.labels(intake.value)
        self.registry.register(_IndexCollector(figures))

    def received(self, intake: Intake, count: int = 1) -> None:
        """Count acknowledged instances."""
        self._instances.labels(intake.value).inc(count)

    def association_opened(self) -> None:
        """Count one association in."""
        self._open.inc()

    def association_ended(self, end: AssociationEnd) -> None:
        """Count one association out."""
        self._open.dec()
        self._ended.labels(end.value).inc()

    def caller_refused(self) -> None:
        """Count one caller that was not let in."""
        self._refused.inc()

    def decided(self, outcome: Outcome, purpose: Purpose) -> None:
        """Count one decision."""
        counter = self._outcomes if purpose is Purpose.REPORT else self._shadow_outcomes
        counter.labels(outcome.value).inc()

    def stage(self, name: str, seconds: float) -> None:
        """Record how long a stage took."""
        self._stages.labels(name).observe(seconds)

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _IndexCollector(Collector):
    """Gauges that the index answers for."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def describe(self) -> Iterable[Metric]:
        """Name the gauges without reading the index."""
        return _families(Figures(screenings={}, shadows={}, deliveries={}, destinations=()))

    def collect(self) -> Iterator[Metric]:
        """Read the index."""
        yield from _families(self._figures())


def _families(figures: Figures) -> list[Metric]:
    screenings = GaugeMetricFamily("groundglass_screenings", "Screenings by state", labels=["state"])
    shadows = GaugeMetricFamily(
        "groundglass_shadow_screenings", "Shadow screenings by state", labels=["state"]
    )
    for family, counts in ((screenings, figures.screenings), (shadows, figures.shadows)):
        for state, count in sorted(counts.items()):
            family.add_metric([state], count)
    deliveries = GaugeMetricFamily(
        "groundglass_deliveries", "Outbox rows by destination and state", labels=["destination", "state"]
    )
    for (destination, state), count in sorted(figures.deliveries.items()):
        deliveries.add_metric([destination, state], count)
    return [screenings, shadows, deliveries, *_destination_families(figures.destinations)]


def _destination_families(checks: Sequence[DestinationCheck]) -> list[Metric]:
    left_alone = GaugeMetricFamily(
        "groundglass_destination_left_alone",
        "Whether a destination is not called now",
        labels=["destination"],
    )
    failures = GaugeMetricFamily(
        "groundglass_destination_failures", "Failures in a row of a destination", labels=["destination"]
    )
    unproven = GaugeMetricFamily(
        "groundglass_destination_oldest_unproven_seconds",
        "Age of the oldest result that a destination accepted and has not proven to keep",
        labels=["destination"],
    )
    for check in checks:
        left_alone.add_metric([check.name], check.breaker != BreakerState.CLOSED)
        failures.add_metric([check.name], check.failures)
        unproven.add_metric([check.name], check.oldest_unproven_seconds)
    return [left_alone, failures, unproven]
