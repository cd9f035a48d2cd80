"""``studies withdraw`` and ``studies correct``: taking results back, and issuing them as another's."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.options import ByOption, ConfigOption, ReasonOption, StudyArgument, settings_of, store_of
from node.cli.output import counted, show
from node.dicom.overrides import CORRECTABLE
from node.domain.errors import AttributeRefused
from node.domain.result import Withdrawal
from node.store.store import Store


def withdraw(
    *,
    study: StudyArgument,
    title: Annotated[
        Withdrawal,
        typer.Option(
            "--title",
            help="Why an archive shall reject the objects: patient-safety (a wrong result, or another "
            "patient's) or quality.",
        ),
    ],
    by: ByOption,
    reason: ReasonOption,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only results of this model; by default of all.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Withdraw the results of a study: a rejection note goes to every destination that may have them."""
    with store_of(settings_of(config)) as store:
        found = store.studies.get(study)
        before = {item.id for item in store.withdrawals.for_study(found.id)}
        count = store.withdrawals.withdraw(found.id, model_name=model, title=title, by=by, reason=reason)
        told = _told(store, found.id, before)
    show(f"Withdrawn: {counted(count, 'version', 'versions')}. {told}")
    show("Images that arrive later are screened as ever; `studies hold` keeps them from it.")


def correct(
    *,
    study: StudyArgument,
    by: ByOption,
    reason: ReasonOption,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEYWORD=VALUE",
            help=f"Issue the results under this value; may be given several times. {', '.join(CORRECTABLE)}.",
        ),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="KEYWORD", help="Let the received value hold again."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Issue the results of a study under other patient or study attributes than the received ones."""
    wanted = _wanted(values or [])
    if not wanted and not unset:
        raise AttributeRefused("nothing to correct; give --set KEYWORD=VALUE or --unset KEYWORD")
    with store_of(settings_of(config)) as store:
        found = store.studies.get(study)
        before = {item.id for item in store.withdrawals.for_study(found.id)}
        store.overrides.correct(found.id, wanted, unset=unset or (), by=by, reason=reason)
        told = _told(store, found.id, before)
    show(f"Corrected. {told}")
    show("A running node issues the results again when the study has settled anew.")


def _wanted(assignments: list[str]) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for item in assignments:
        keyword, equals, value = item.partition("=")
        if not equals:
            raise AttributeRefused(f"--set needs KEYWORD=VALUE; {keyword[:64]!a} has no value")
        if keyword in wanted:
            raise AttributeRefused(f"{keyword[:64]!a} is set twice; name each attribute once")
        wanted[keyword] = value
    return wanted


def _told(store: Store, study_id: int, before: set[int]) -> str:
    """Say who gets a rejection note by what was withdrawn just now."""
    new = [item for item in store.withdrawals.for_study(study_id) if item.id not in before]
    if not new:
        return "There were no results to withdraw."
    names = sorted({name for item in new for name in item.destinations})
    if not names:
        return "No object of it had left."
    return f"A running node sends a rejection note to {', '.join(names)}."
