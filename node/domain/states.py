"""State tables and the engine that walks them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from node.domain.errors import IllegalTransition

StateT = TypeVar("StateT", bound=StrEnum)
EventT = TypeVar("EventT", bound=StrEnum)


class StateTable(Generic[StateT, EventT]):
    """A transition table: (state, event) to next state.

    Parameters
    ----------
    name : str
        What the table describes, for error messages.
    transitions : Mapping
        Every allowed step; what is not in it is refused.
    """

    def __init__(self, name: str, transitions: Mapping[tuple[StateT, EventT], StateT]) -> None:
        self.name = name
        self.transitions = dict(transitions)

    def step(self, state: StateT, event: EventT) -> StateT:
        """Return the state after ``event``.

        Raises
        ------
        IllegalTransition
            When the table has no such step.
        """
        try:
            return self.transitions[state, event]
        except KeyError:
            raise IllegalTransition(f"{self.name}: no step from {state.value!r} on {event.value!r}") from None

    def allows(self, state: StateT, event: EventT) -> bool:
        """Whether the table has a step for this state and event."""
        return (state, event) in self.transitions

    def sources(self, event: EventT) -> tuple[StateT, ...]:
        """Return every state in which ``event`` is allowed."""
        return tuple(state for state, candidate in self.transitions if candidate is event)
