"""The health verdict and its HTTP endpoint, over a real socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from node.domain.errors import SettingsError
from node.operate.destinations import DestinationCheck
from node.operate.health import Facts, HealthEndpoint, ModelCheck, TickAge, ask, judge, port_is_free

WELL = Facts(
    store_problem="",
    models=(
        ModelCheck(name="tiny", version=1, reports=True, state="closed", checked_at="", problem=""),
        ModelCheck(name="other", version=2, reports=False, state="open", checked_at="", problem="a shadow"),
    ),
    destinations=(
        DestinationCheck(
            name="pacs",
            breaker="closed",
            failures=1,
            problem="no answer",
            probed_at="",
            oldest_unproven_seconds=0,
        ),
    ),
    listening=True,
    ticks=(TickAge(name="sweep", period_seconds=5, age_seconds=4),),
    free_bytes=2000,
    least_free_bytes=1000,
)


@contextmanager
def serving(facts: Facts) -> Iterator[int]:
    endpoint = HealthEndpoint("127.0.0.1", 0, health=lambda: judge(facts), metrics=lambda: b"a 1\n")
    port = endpoint.start()
    try:
        yield port
    finally:
        endpoint.stop()


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_a_node_that_is_well_is_ready() -> None:
    assert judge(WELL).ready


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        (replace(WELL, store_problem="locked"), "store: locked"),
        (
            replace(WELL, models=(replace(WELL.models[0], problem="scores differ"),)),
            "model tiny version 1: scores differ",
        ),
        (replace(WELL, listening=False), "network: not listening for associations"),
        (replace(WELL, free_bytes=999), "disk: 999 bytes free, fewer than 1000"),
        (
            replace(WELL, ticks=(TickAge(name="sweep", period_seconds=5, age_seconds=111),)),
            "schedule: sweep last ended 111 s ago",
        ),
    ],
)
def test_each_problem_is_named_and_stops_readiness(facts: Facts, problem: str) -> None:
    health = judge(facts)
    assert not health.ready
    assert health.problems == (problem,)


def test_a_pacs_that_is_down_is_told_and_stops_nothing() -> None:
    down = replace(WELL.destinations[0], breaker="open", failures=7)
    health = judge(replace(WELL, destinations=(down,)))
    assert health.ready
    assert health.warnings == ("destination pacs: left alone after 7 failures in a row: no answer",)
    assert judge(WELL).warnings == ()
    assert health.to_json()["destinations"][0]["failures"] == 7


def test_damaged_files_are_told_and_keep_nothing_from_working() -> None:
    health = judge(replace(WELL, damaged_files=2))
    assert health.ready
    warning = "store: 2 object files are missing or damaged; see `groundglass integrity`"
    assert health.warnings == (warning,)


def test_receiving_processes_that_end_again_and_again_are_told_and_stop_nothing() -> None:
    health = judge(replace(WELL, receiving_problem="receiving processes ended 3 times within an hour"))
    assert health.ready
    assert health.warnings == ("network: receiving processes ended 3 times within an hour",)


def test_a_late_tick_is_not_yet_overdue() -> None:
    assert not TickAge(name="sweep", period_seconds=5, age_seconds=110).overdue
    assert not TickAge(name="courier", period_seconds=2, age_seconds=180, call_seconds=100).overdue
    assert TickAge(name="courier", period_seconds=2, age_seconds=181, call_seconds=100).overdue


def test_healthz_answers_200_when_well_and_503_when_not() -> None:
    with serving(WELL) as port:
        status, body = get(port, "/healthz")
        assert (status, json.loads(body)["ready"]) == (200, True)
    with serving(replace(WELL, listening=False)) as port:
        status, body = get(port, "/healthz")
        assert status == 503
        assert json.loads(body)["problems"] == ["network: not listening for associations"]


def test_metrics_and_unknown_paths() -> None:
    with serving(WELL) as port:
        assert get(port, "/metrics") == (200, b"a 1\n")
        assert get(port, "/metrics?x=1")[0] == 200
        assert get(port, "/../etc/passwd")[0] == 404


def test_a_client_that_says_nothing_does_not_keep_others_waiting() -> None:
    with serving(WELL) as port, socket.create_connection(("127.0.0.1", port)):
        assert get(port, "/healthz")[0] == 200


def test_a_taken_port_is_a_settings_error() -> None:
    with serving(WELL) as port:
        other = HealthEndpoint("127.0.0.1", port, health=lambda: judge(WELL), metrics=lambda: b"")
        with pytest.raises(SettingsError, match=r"health\.port"):
            other.start()


def test_port_is_free_tells_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not port_is_free("127.0.0.1", port)
    assert port_is_free("127.0.0.1", 0)


def test_ask_reads_a_running_node_and_nothing_else() -> None:
    with serving(WELL) as port:
        answer = ask("127.0.0.1", port)
        assert answer is not None
        assert answer["ready"] is True
    assert ask("127.0.0.1", port) is None
