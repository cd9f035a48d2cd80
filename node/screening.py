"""How this node screens and what its results say of it, from the settings."""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import version

from node.domain.wording import wording
from node.report.request import Producer
from node.run.options import PipelineSettings
from node.run.retry import RetryPolicy
from node.settings.settings import Settings


def pipeline_settings(settings: Settings) -> PipelineSettings:
    """Return what a screening is told."""
    return PipelineSettings(
        minimum_slices=settings.select.minimum_slices,
        accept_unknown_age=settings.select.accept_unknown_age,
        cap_policy=settings.assemble.cap_policy,
        batch=settings.infer.batch_slices,
        decoders=settings.infer.decoders,
        max_heatmaps=settings.report.max_heatmaps,
        parametric_map=settings.report.parametric_map,
        map_series_bytes=settings.report.parametric_map_series_bytes,
        summary=settings.report.summary,
        key_objects=settings.report.key_objects,
        zone=settings.node.zone(),
        destinations=settings.destination_records(),
        producer=producer_of(settings),
        retry=RetryPolicy(
            first=timedelta(seconds=settings.infer.first_retry_seconds),
            factor=settings.infer.retry_factor,
            longest=timedelta(seconds=settings.infer.longest_retry_seconds),
            max_attempts=settings.infer.max_attempts,
        ),
    )


def producer_of(settings: Settings) -> Producer:
    """Return what the result objects say of this node."""
    return Producer(
        manufacturer=settings.report.manufacturer,
        software_version=version("groundglass"),
        serial_number=settings.report.serial_number,
        station_ae_title=settings.node.ae_title,
        wording=wording(settings.report.language),
    )
