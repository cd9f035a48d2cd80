"""Sending a folder as a scanner would, with the fate of every file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from node.dimse.entity import Timeouts
from node.dimse.scu import Remote, StorageAssociation, StoredInstance, associate, batches, read_instance
from node.domain.errors import DestinationRefused, DestinationUnavailable, NotDicom
from node.domain.identity import is_valid_uid


class Fate(StrEnum):
    """What became of one file."""

    SENT = "sent"
    """The peer answered with success or a warning."""
    REFUSED = "refused"
    """The peer answered that it will not take it, or offers no presentation context for it."""
    FAILED = "failed"
    """No answer, or one that asks to try again."""
    NOT_SENT = "not-sent"
    """Not a file that can be sent: the reason says why."""


@dataclass(frozen=True, kw_only=True)
class FileFate:
    """One file and what became of it."""

    path: Path
    sop_instance_uid: str | None
    fate: Fate
    detail: str
    """The peer's answer, or why there was none."""


OnFate = Callable[[FileFate], None]


def files_under(folder: Path, *, without: Path | None = None) -> list[Path]:
    """Return every regular file under ``folder`` (or the file itself) in the order of their names.

    Parameters
    ----------
    folder : Path
    without : Path, optional
        A folder to leave out.
    """
    if folder.is_file():
        return [folder]
    excluded = without.resolve() if without is not None else None
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (excluded is None or not path.resolve().is_relative_to(excluded))
    ]


def readable(paths: Sequence[Path], on_fate: OnFate) -> list[StoredInstance]:
    """Return the files that can be sent; the fate of every other one is told."""
    instances = []
    for path in paths:
        try:
            instances.append(_identified(read_instance(path)))
        except (NotDicom, OSError) as error:
            on_fate(FileFate(path=path, sop_instance_uid=None, fate=Fate.NOT_SENT, detail=str(error)))
    return instances


def _identified(instance: StoredInstance) -> StoredInstance:
    named = (instance.sop_class_uid, instance.sop_instance_uid, instance.transfer_syntax_uid)
    if not all(map(is_valid_uid, named)):
        raise NotDicom(f"{instance.path.name}: its File Meta Information does not identify the object")
    return instance


def send(
    instances: Sequence[StoredInstance],
    *,
    remote: Remote,
    calling_ae_title: str,
    timeouts: Timeouts,
    on_fate: OnFate,
) -> None:
    """Send instances in their order; an association that breaks is opened again for the rest.

    Parameters
    ----------
    instances : sequence of StoredInstance
    remote : Remote
        Who is called.
    calling_ae_title : str
        Own AE title.
    timeouts : Timeouts
    on_fate : callable
        Called once for each instance.
    """
    for batch in batches(instances):
        rest = list(batch)
        while rest:
            try:
                with associate(
                    remote,
                    calling_ae_title=calling_ae_title,
                    needed=[instance.syntaxes for instance in rest],
                    timeouts=timeouts,
                ) as association:
                    rest = _send_until_broken(association, rest, on_fate)
            except DestinationRefused as error:
                rest = _all(rest, Fate.REFUSED, str(error), on_fate)
            except DestinationUnavailable as error:
                rest = _all(rest, Fate.FAILED, str(error), on_fate)


def _send_until_broken(
    association: StorageAssociation, instances: list[StoredInstance], on_fate: OnFate
) -> list[StoredInstance]:
    """Send on one association; return what is left when it ends early."""
    for index, instance in enumerate(instances):
        try:
            meaning = association.send(instance)
        except DestinationRefused as error:
            on_fate(_fate(instance, Fate.REFUSED, str(error)))
        except DestinationUnavailable as error:
            on_fate(_fate(instance, Fate.FAILED, str(error)))
            return instances[index + 1 :]
        else:
            fate = Fate.SENT if meaning.delivered else Fate.FAILED if meaning.retryable else Fate.REFUSED
            on_fate(_fate(instance, fate, meaning.text))
    return []


def _all(instances: list[StoredInstance], fate: Fate, detail: str, on_fate: OnFate) -> list[StoredInstance]:
    for instance in instances:
        on_fate(_fate(instance, fate, detail))
    return []


def _fate(instance: StoredInstance, fate: Fate, detail: str) -> FileFate:
    return FileFate(path=instance.path, sop_instance_uid=instance.sop_instance_uid, fate=fate, detail=detail)
