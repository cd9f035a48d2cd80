"""Accepting a site's inference server: every golden answer, at the server's precision, before patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.domain.errors import ModelError
from node.domain.model import Acceptance, ModelIdentity
from node.domain.ports import Scorer
from node.infer.bundle import Bundle
from node.infer.golden import Differences, differences

OpenScorer = Callable[[Bundle], Scorer[NDArray[np.float32]]]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What became of one model version's golden slices on the server."""

    model_name: str
    model_version: int
    identity: ModelIdentity | None
    """Who answered; None when the handshake failed."""
    differences: Differences | None
    """The largest of all batch sizes; None when there was no answer."""
    problem: str
    """Why it did not pass; empty when it did."""

    @property
    def passed(self) -> bool:
        """Whether the server may answer for patients with this version."""
        return not self.problem

    def acceptance(self, url: str) -> Acceptance | None:
        """Return what is recorded of a passed trial; None of any other."""
        if not self.passed or self.identity is None:
            return None
        return Acceptance(
            url=url,
            server_version=self.identity.engine_version,
            model_name=self.identity.name,
            model_version=self.identity.version,
            spec_sha256=self.identity.spec_sha256,
            weights_sha256=self.identity.weights_sha256,
            precision=self.identity.precision.value,
        )


def try_bundles(bundles: Sequence[Bundle], open_scorer: OpenScorer) -> list[Trial]:
    """Replay every bundle's golden slices on the server.

    Each is replayed slice by slice, all at once, and in a request of the largest size: an engine chooses
    its kernels by the batch, and dynamic batching makes batches of any size up to the largest.

    Parameters
    ----------
    bundles : sequence of Bundle
    open_scorer : callable
        Shakes hands with the server and returns an engine for a bundle.
    """
    return [_try(bundle, open_scorer) for bundle in bundles]


def _try(bundle: Bundle, open_scorer: OpenScorer) -> Trial:
    identity, found = None, None
    try:
        scorer = open_scorer(bundle)
        try:
            identity = scorer.identity
            found = _largest([differences(bundle, scorer, batch=size) for size in batch_sizes(bundle)])
        finally:
            scorer.close()
    except ModelError as error:
        problem = str(error)
    else:
        problem = "" if found.passed else "differs from the export's answer by more than is allowed"
    return Trial(
        model_name=bundle.name,
        model_version=bundle.version,
        identity=identity,
        differences=found,
        problem=problem,
    )


def batch_sizes(bundle: Bundle) -> list[int]:
    """Return the sizes of requests that are tried."""
    most = bundle.config.max_batch_size
    return sorted({1, min(len(bundle.golden.slices), most), most})


def _largest(found: Sequence[Differences]) -> Differences:
    """Return the worst of several replays of the same golden slices."""
    return Differences(
        precision=found[0].precision,
        probabilities=float(np.max([one.probabilities for one in found])),
        maps=float(np.max([one.maps for one in found])),
        tolerance=found[0].tolerance,
    )
