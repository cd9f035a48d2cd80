"""The figures that Prometheus scrapes."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from node.domain.job import Purpose
from node.domain.result import Outcome
from node.domain.study import AssociationEnd, Intake
from node.operate.destinations import DestinationCheck
from node.operate.metrics import Figures, Metrics

FIGURES = Figures(
    screenings={"done": 3, "queued": 1},
    shadows={"done": 2},
    deliveries={("pacs", "delivered"): 7},
    destinations=(
        DestinationCheck(
            name="pacs", breaker="open", failures=4, problem="", probed_at="", oldest_unproven_seconds=60
        ),
    ),
)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {  # label values in the order of the label names
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_index_is_read_at_each_scrape() -> None:
    reads: list[int] = []

    def figures() -> Figures:
        reads.append(1)
        return FIGURES

    metrics = Metrics(figures)
    assert reads == []
    found = samples(metrics)
    assert found["groundglass_screenings", ("done",)] == 3
    assert found["groundglass_screenings", ("queued",)] == 1
    assert found["groundglass_shadow_screenings", ("done",)] == 2
    assert found["groundglass_deliveries", ("pacs", "delivered")] == 7
    assert found["groundglass_destination_left_alone", ("pacs",)] == 1
    assert found["groundglass_destination_failures", ("pacs",)] == 4
    assert found["groundglass_destination_oldest_unproven_seconds", ("pacs",)] == 60
    samples(metrics)
    assert len(reads) == 2


def test_events_are_counted() -> None:
    metrics = Metrics(lambda: FIGURES)
    metrics.association_opened()
    metrics.association_opened()
    metrics.association_ended(AssociationEnd.RELEASED)
    metrics.caller_refused()
    metrics.received(Intake.NEW)
    metrics.received(Intake.NEW)
    metrics.decided(Outcome.NEGATIVE, Purpose.REPORT)
    metrics.decided(Outcome.POSITIVE, Purpose.SHADOW)
    metrics.stage("infer", 3.0)
    found = samples(metrics)
    assert found["groundglass_associations_open", ()] == 1
    assert found["groundglass_associations_ended_total", ("released",)] == 1
    assert found["groundglass_associations_refused_total", ()] == 1
    assert found["groundglass_instances_received_total", ("new",)] == 2
    assert found["groundglass_instances_received_total", ("own",)] == 0
    assert found["groundglass_outcomes_total", ("negative",)] == 1
    assert found["groundglass_outcomes_total", ("positive",)] == 0
    assert found["groundglass_shadow_outcomes_total", ("negative",)] == 0
    assert found["groundglass_shadow_outcomes_total", ("positive",)] == 1
    assert found["groundglass_stage_seconds_sum", ("infer",)] == 3.0


def test_two_nodes_in_one_process_do_not_share_figures() -> None:
    first, second = Metrics(lambda: FIGURES), Metrics(lambda: FIGURES)
    first.caller_refused()
    assert samples(second)["groundglass_associations_refused_total", ()] == 0
