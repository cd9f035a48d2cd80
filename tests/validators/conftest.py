"""Result sets, made once for all tests of a process."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from tests.validators.sets import ResultSet, make


@pytest.fixture(scope="session")
def result_set(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ResultSet]:
    """Return a function from the name of a case to its result set."""
    return cache(lambda name: make(name, tmp_path_factory.mktemp(name)))
