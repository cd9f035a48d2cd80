"""InstanceHeader as the JSON text of the index, without loss in either direction."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from node.domain.identity import PatientKey
from node.domain.study import FrameGeometry, InstanceHeader

PLAIN = tuple(
    item.name
    for item in fields(InstanceHeader)
    if item.name not in {"patient", "image_type", "device_uids", "frames"}
)


def encode_header(header: InstanceHeader) -> str:
    """Return the header as compact JSON in ASCII."""
    document: dict[str, Any] = {name: getattr(header, name) for name in PLAIN}
    document["patient"] = [header.patient.patient_id, header.patient.issuer]
    document["image_type"] = header.image_type
    document["device_uids"] = header.device_uids
    document["frames"] = [
        [frame.image_position, frame.image_orientation, frame.pixel_spacing, frame.slice_thickness]
        for frame in header.frames
    ]
    return json.dumps(document, separators=(",", ":"))


def decode_header(text: str) -> InstanceHeader:
    """Return the header that ``encode_header`` wrote."""
    document = json.loads(text)
    patient_id, issuer = document.pop("patient")
    return InstanceHeader(
        patient=PatientKey(patient_id=patient_id, issuer=issuer),
        image_type=tuple(document.pop("image_type")),
        device_uids=tuple(document.pop("device_uids")),
        frames=tuple(_frame(*item) for item in document.pop("frames")),
        **document,
    )


def _frame(
    position: list[float] | None,
    orientation: list[float] | None,
    spacing: list[float] | None,
    thickness: float | None,
) -> FrameGeometry:
    return FrameGeometry(
        image_position=None if position is None else (position[0], position[1], position[2]),
        image_orientation=None
        if orientation is None
        else (
            orientation[0],
            orientation[1],
            orientation[2],
            orientation[3],
            orientation[4],
            orientation[5],
        ),
        pixel_spacing=None if spacing is None else (spacing[0], spacing[1]),
        slice_thickness=thickness,
    )
