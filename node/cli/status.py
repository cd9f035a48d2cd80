"""``status``: what the node is doing, who was refused, and what waits for an operator."""

from __future__ import annotations

from typing import Any

import typer

from node.cli.options import ConfigOption, JsonOption, settings_of, store_of
from node.cli.output import counted, printable, show, show_json, table
from node.cli.records import refused_caller_record, study_record
from node.domain.delivery import DeliveryState
from node.domain.errors import ModelError
from node.domain.study import StudyState
from node.infer.bundle import installed, load_bundle
from node.operate.destinations import destination_checks
from node.operate.health import ask
from node.settings.settings import Settings
from node.store.store import Store

SHOWN_STATES = (
    DeliveryState.PENDING,
    DeliveryState.SENT,
    DeliveryState.DELIVERED,
    DeliveryState.REFUSED,
)
TOLD_IN_WORDS = frozenset({"failures", "problem", "probed_at"})
SHOWN_CALLERS = 20
LOOKED_AT_STUDIES = 500  # the newest; `studies list` shows every one


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show node, model, destinations, queue, deliveries, held studies and refused callers."""
    settings = settings_of(config)
    with store_of(settings) as store:
        record = _collect(settings, store)
    if as_json:
        show_json(record)
    else:
        _print(record)


def _collect(settings: Settings, store: Store) -> dict[str, Any]:
    live = store.operations.live()
    halted = store.operations.halted()
    return {
        "node": {
            "ae_title": settings.node.ae_title,
            "port": settings.node.port,
            "data_dir": str(settings.node.data_dir),
            **_running(settings),
        },
        "model": _model(settings, store),
        "mode": "halted" if halted else "live" if any(live.values()) else "silent",
        "destinations": _destinations(settings, store),
        "archives": _archives(settings, store),
        "screenings": [
            {"state": str(state), "count": count}
            for state, count in sorted(store.screenings.counts().items())
        ],
        "deliveries": [
            {"destination": destination, "state": str(state), "count": count}
            for (destination, state), count in sorted(store.outbox.counts().items())
        ],
        "commitments_asked": [
            {"state": str(state), "count": count}
            for state, count in sorted(store.commitments.counts().items())
        ],
        "object_files": _object_files(store),
        "notes_to_be_made": [
            {"study": item.study_instance_uid, "withdrawn": item.at.isoformat(), "version": item.version}
            for item in store.withdrawals.to_note()
        ],
        "held_studies": [
            study_record(study)
            for study in store.studies.list(LOOKED_AT_STUDIES)
            if study.state is StudyState.HELD
        ],
        "refused_callers": [
            refused_caller_record(caller) for caller in store.intake.refused_callers()[:SHOWN_CALLERS]
        ],
    }


def _object_files(store: Store) -> list[dict[str, Any]]:
    """Return how far the files are verified, and how many are damaged; nothing before the first round."""
    current = store.verification.current()
    if current is None:
        return []
    return [
        {
            "damaged": store.damage.count(),
            "verified_percent": round(current.share * 100, 1),
            "since": current.began_at.isoformat(timespec="seconds"),
        }
    ]


def _destinations(settings: Settings, store: Store) -> list[dict[str, Any]]:
    """Return every destination of the settings: whether it is open, how it fares, and what it got."""
    live, counts = store.operations.live(), store.outbox.counts()
    records = settings.destination_records()
    checks = destination_checks(store, [item.name for item in records], settings.deliver.patience())
    return [
        {
            "name": item.name,
            "address": item.address,
            "live": live.get(item.name, False),
            "accept_demonstration": item.accept_demonstration,
            "breaker": check.breaker,
            **{str(state): counts.get((item.name, state), 0) for state in SHOWN_STATES},
            "oldest_unproven_seconds": round(check.oldest_unproven_seconds),
            "failures": check.failures,
            "problem": check.problem,
            "probed_at": check.probed_at,
        }
        for item, check in zip(records, checks, strict=True)
    ]


def _archives(settings: Settings, store: Store) -> list[dict[str, Any]]:
    """Return every archive of the settings: how it answered last."""
    contacts = {contact.archive: contact for contact in store.archives.contacts()}
    rows = []
    for archive in settings.archive_records():
        contact = contacts.get(archive.name)
        rows.append(
            {
                "name": archive.name,
                "address": archive.address,
                "answered_at": None if contact is None else contact.answered_at,
                "failures": 0 if contact is None else contact.failures,
                "problem": "" if contact is None else contact.detail,
            }
        )
    return rows


def _running(settings: Settings) -> dict[str, Any]:
    """Return what the running node says of itself."""
    answer = ask(settings.health.host, settings.health.port) if settings.health.enabled else None
    if answer is None:
        return {"running": None if not settings.health.enabled else False, "ready": None, "problems": []}
    return {"running": True, "ready": answer.get("ready"), "problems": answer.get("problems", [])}


def _model(settings: Settings, store: Store) -> dict[str, Any]:
    """Return the active version of the model for CT, or why it cannot be used."""
    try:
        name = settings.infer.model
        bundle = load_bundle(installed(settings.infer.models_dir, name), store.promotions.active(name))
    except ModelError as error:
        return {"name": settings.infer.model, "problem": str(error)}
    return {
        "name": bundle.name,
        "version": bundle.version,
        "status": bundle.status.value,
        "spec_sha256": bundle.spec_sha256,
        "weights_sha256": bundle.weights_sha256,
        "problem": None,
    }


def _print(record: dict[str, Any]) -> None:
    node, model = record["node"], record["model"]
    running = {True: "running", False: "not running", None: "unknown (health endpoint is off)"}[
        node["running"]
    ]
    show(f"{node['ae_title']} on port {node['port']}: {running}, data in {node['data_dir']}")
    for problem in node["problems"]:
        show(f"  {problem}")
    show(_model_line(model), f"mode: {record['mode']}")
    _print_destinations(record["destinations"])
    _print_rows("Archives", record["archives"])
    _print_rows("Screenings", record["screenings"])
    _print_rows("Deliveries", record["deliveries"])
    _print_rows("Storage commitments asked of this node", record["commitments_asked"])
    held = [
        {"study": study["study_instance_uid"], "reason": study["hold_reason"]}
        for study in record["held_studies"]
    ]
    _print_rows("Object files", record["object_files"])
    _print_rows("Held studies", held)
    _print_rows("Rejection notes to be made", record["notes_to_be_made"])
    for caller in record["refused_callers"]:
        show(
            f"\nRefused: {printable(caller['calling_ae_title'])} from {printable(caller['address'])}, "
            f"{counted(caller['attempts'], 'time', 'times')}, last {caller['last_at']}:",
            f"  {printable(caller['reason'])}",
        )
        if caller["settings"]:
            show("To admit it, paste into the settings file:", caller["settings"])


def _model_line(model: dict[str, Any]) -> str:
    if model["problem"] is not None:
        return f"model {model['name']}: {model['problem']}"
    return f"model {model['name']} version {model['version']} ({model['status']})"


def _print_destinations(destinations: list[dict[str, Any]]) -> None:
    _print_rows(
        "Destinations",
        [{key: value for key, value in item.items() if key not in TOLD_IN_WORDS} for item in destinations],
    )
    for item in destinations:
        if item["failures"]:
            left_alone = f", left alone until {item['probed_at']}" if item["probed_at"] else ""
            show(
                f"{item['name']}: {counted(item['failures'], 'failure', 'failures')} in a row{left_alone}: "
                f"{printable(item['problem'])}"
            )


def _print_rows(title: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        show(table(title, list(rows[0]), [list(row.values()) for row in rows]))
