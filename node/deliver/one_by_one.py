"""Objects that go out in requests of their own, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.domain.delivery import OutgoingObject, SendReply
from node.domain.errors import DestinationSilent, DestinationUnavailable


def send_one_by_one(
    objects: Sequence[OutgoingObject],
    send_one: Callable[[OutgoingObject], SendReply],
    *,
    may_leave: Callable[[OutgoingObject], bool],
) -> list[SendReply]:
    """Send objects until one finds the destination gone; one reply, in order, for each that was tried.

    An object that was not answered counts as tried, also when it is the first: it may have arrived, and one
    that the destination cannot stand would stop all others for ever.

    Parameters
    ----------
    objects : sequence of OutgoingObject
    send_one : callable
        Sends one object.
    may_leave : callable
        Asked right before each object.

    Raises
    ------
    DestinationUnavailable
        Before any object was sent.
    """
    replies: list[SendReply] = []
    for item in objects:
        if not may_leave(item):
            continue
        try:
            replies.append(send_one(item))
        except DestinationUnavailable as error:
            if not replies and not isinstance(error, DestinationSilent):
                raise
            replies.append(
                SendReply(delivery_id=item.delivery_id, delivered=False, retryable=True, detail=str(error))
            )
            break
    return replies
