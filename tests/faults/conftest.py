"""Nodes that receive, started and stopped around a test, and the figures of a run at its end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.station.conftest import receiving, receiving_node

__all__ = ["receiving", "receiving_node"]


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Return a function that notes a figure, by its name, for the end of the run."""
    return lambda name, value: request.node.user_properties.append((name, value))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that the tests noted."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
