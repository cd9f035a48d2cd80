"""Exit codes, and which error ends with which."""

from __future__ import annotations

from enum import IntEnum

from node.domain.errors import (
    AttributeRefused,
    DeliveryError,
    GroundglassError,
    ModelError,
    SettingsError,
    StoreInUse,
    UnknownSubject,
)


class ExitCode(IntEnum):
    """What the command says to the shell that called it."""

    OK = 0
    FAILED = 1
    """Something was lost, refused or failed; the output says what."""
    USAGE = 2
    """The command line or the settings are wrong; nothing was done."""
    NOT_READY = 3
    """The node cannot run: model, store or port are not as they must be."""
    UNKNOWN = 4
    """No such study, destination or screening."""
    UNREACHABLE = 5
    """A peer did not answer, or refused the association."""
    TIMED_OUT = 6
    """The time given was over before everything was settled."""


BY_ERROR: tuple[tuple[type[GroundglassError], ExitCode], ...] = (
    (SettingsError, ExitCode.USAGE),
    (AttributeRefused, ExitCode.USAGE),
    (ModelError, ExitCode.NOT_READY),
    (StoreInUse, ExitCode.NOT_READY),
    (UnknownSubject, ExitCode.UNKNOWN),
    (DeliveryError, ExitCode.UNREACHABLE),
)


def code_for(error: GroundglassError) -> ExitCode:
    """Return the exit code of an error that ended a command."""
    return next((code for kind, code in BY_ERROR if isinstance(error, kind)), ExitCode.FAILED)
