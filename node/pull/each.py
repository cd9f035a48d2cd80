"""Questions about one subject after the other, of which none keeps the others back."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from node.domain.errors import DestinationRefused
from node.pull.archive import ArchiveClient, ArchiveSession

logger = logging.getLogger(__name__)

Subject = TypeVar("Subject")


def ask_about_each(
    client: ArchiveClient, subjects: Iterable[Subject], ask: Callable[[ArchiveSession, Subject], None]
) -> str:
    """Ask an archive about every subject; return what it refused to tell first, nothing where it told all.

    After a refusal it is asked on a new connection: on the old one the rest of an answer may still come, and
    would be taken for the answer to the next question.

    Parameters
    ----------
    client : ArchiveClient
    subjects : iterable
    ask : callable
        Asks about one subject.

    Raises
    ------
    DestinationUnavailable
        It does not answer.
    DestinationRefused
        It does not let this node ask at all.
    """
    rest, problem = deque(subjects), ""
    while rest:
        waiting = len(rest)
        try:
            with client.session() as session:
                while rest:
                    ask(session, rest.popleft())
        except DestinationRefused as error:
            if len(rest) == waiting:
                raise
            logger.warning("an archive does not tell about one of %d: %s", waiting, error)
            problem = problem or str(error)
    return problem
