"""The observer context of a document: the device, never a person (PS3.16 TID 1001, 1002, 1004)."""

from __future__ import annotations

from collections.abc import Iterator

import highdicom.sr as hd

from node.domain.model import ModelIdentity
from node.report import codes
from node.report import content as make
from node.report.identity import device_uid
from node.report.request import Producer


def device_observer(model: ModelIdentity, producer: Producer) -> Iterator[hd.ContentItem]:
    """Iterate over the items that name the algorithm as the observer."""
    context = make.HAS_OBS_CONTEXT
    yield make.code(codes.OBSERVER_TYPE, codes.DEVICE, context)
    yield make.uid(codes.DEVICE_OBSERVER_UID, device_uid(model), context)
    yield make.text(codes.DEVICE_OBSERVER_NAME, producer.station_ae_title, context)
    yield make.text(codes.DEVICE_OBSERVER_MANUFACTURER, make.name(producer.manufacturer), context)
    yield make.text(codes.DEVICE_OBSERVER_MODEL_NAME, make.name(model.name), context)
    yield make.text(codes.DEVICE_OBSERVER_SERIAL_NUMBER, make.name(producer.serial_number), context)
