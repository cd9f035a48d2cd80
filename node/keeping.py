"""What this node keeps and for how long, from the settings."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import Final

from node.domain.network import WebhookDestination
from node.domain.ports import Clock
from node.domain.retention import RetentionRule
from node.operate.forgetting import Forgetting
from node.operate.retention import Retention
from node.operate.scrubbing import Scrubbing
from node.settings.settings import Settings
from node.store.store import Store

RETENTION: Final = "retention"
FORGETTING: Final = "forgetting"
SCRUBBING: Final = "scrubbing"
SCRUBBING_SECONDS: Final = 2.0
FORGETTING_SECONDS: Final = 6 * 3600.0
"""Time between two looks: what goes is months old."""


def rules_of(settings: Settings) -> tuple[RetentionRule, ...]:
    """Return the rules of the settings."""
    known = settings.destination_records()
    names = [item.name for item in known]
    webhooks = [item.name for item in known if isinstance(item, WebhookDestination)]
    return tuple(rule.record(names, webhooks) for rule in settings.retention.rules)


def retention_of(settings: Settings, store: Store, clock: Clock) -> Retention:
    """Return what applies the rules of the settings."""
    return Retention(
        store,
        rules_of(settings),
        clock=clock,
        free_bytes=lambda: shutil.disk_usage(settings.node.data_dir).free,
        most=settings.retention.most_studies_at_once,
    )


def forgetting_of(settings: Settings, store: Store, clock: Clock) -> Forgetting | None:
    """Return what forgets what has been over for long; None where nothing is forgotten."""
    days = settings.retention.forget_after_days
    return None if days is None else Forgetting(store, clock=clock, after=timedelta(days=days))


def scrubbing_of(settings: Settings, store: Store, clock: Clock) -> Scrubbing | None:
    """Return what verifies the object files; None where nothing does."""
    upkeep = settings.upkeep
    if not upkeep.verify_days:
        return None
    return Scrubbing(
        store,
        clock=clock,
        within=timedelta(days=upkeep.verify_days),
        bytes_per_second=upkeep.verify_mib_per_second * (1 << 20),
    )
