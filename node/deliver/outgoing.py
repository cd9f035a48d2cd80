"""A row of the outbox as its sender takes it."""

from __future__ import annotations

from node.domain.delivery import Delivery, OutgoingObject
from node.domain.ports import ObjectFiles


def outgoing_object(item: Delivery, files: ObjectFiles) -> OutgoingObject:
    """Return what a sender must know of a delivery.

    Raises
    ------
    ObjectMissing
        Its file is gone.
    """
    return OutgoingObject(
        delivery_id=item.id,
        kind=item.kind,
        study_instance_uid=item.study_instance_uid,
        series_instance_uid=item.series_instance_uid,
        sop_class_uid=item.sop_class_uid,
        sop_instance_uid=item.sop_instance_uid,
        transfer_syntax_uid=item.transfer_syntax_uid,
        path=files.path(item.object_key),
    )
