"""P-DATA-TF PDUs of whole messages (PS3.8 section 9.3.5), made as bytes.

The library builds a data set, a primitive and a PDU for each response and hands them from one thread to the
other: a query with ten thousand matches takes it seconds. Here the responses of one operation are bytes that
differ in their identifiers, written to the connection by the thread that finds them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

P_DATA_TF = 0x04
COMMAND, LAST = 0x01, 0x02  # message control header, PS3.8 annex E.2
VALUE_HEAD = 6
"""Length, presentation context and message control header of a presentation data value."""
FRAGMENT_HEAD = struct.Struct(">BxIIBB")
"""Of a PDU with one value: type and length of the PDU, then length, context and control of the value."""
NO_DATA_SET = 0x0101  # PS3.7 E.1-1
DATA_SET = 0x0001
LARGEST_UNLIMITED = 131072
"""Of a peer that sets no limit (PS3.8 D.1: 0), or a larger one: what is sent lies in memory."""
SMALLEST_FRAGMENT = 2
"""Sent whatever a peer says: one that takes less takes nothing at all."""


def command_set(elements: dict[int, bytes]) -> bytes:
    """Return a command set (PS3.7 section 6.3.1) of the elements of group 0000, in the order of their tags.

    Parameters
    ----------
    elements : dict of int to bytes
        Value by element number, of an even length.
    """
    body = b"".join(
        struct.pack("<HHI", 0x0000, element, len(value)) + value
        for element, value in sorted(elements.items())
    )
    return struct.pack("<HHII", 0x0000, 0x0000, 4, len(body)) + body


def even(value: bytes, padding: bytes) -> bytes:
    """Return a value of even length (PS3.5 section 7.1.1)."""
    return value + padding if len(value) % 2 else value


def message(context_id: int, command: bytes, data_set: bytes, *, max_pdu: int) -> bytes:
    """Return one message as PDUs; command and data set share one where they fit.

    Parameters
    ----------
    context_id : int
        Presentation context.
    command : bytes
    data_set : bytes
        Empty for none.
    max_pdu : int
        Bytes of a PDU's content that the peer accepts; 0 for no limit.
    """
    most = min(max_pdu or LARGEST_UNLIMITED, LARGEST_UNLIMITED)
    together = 2 * VALUE_HEAD + len(command) + len(data_set)
    if data_set and together <= most:
        values = _value(context_id, COMMAND | LAST, command) + _value(context_id, LAST, data_set)
        return _pdu(values)
    parts = [*_fragments(context_id, COMMAND, command, most)]
    if data_set:
        parts += _fragments(context_id, 0, data_set, most)
    return b"".join(parts)


def fragment_size(max_pdu: int) -> int:
    """Return the bytes of the longest fragment: an even number (PS3.8 annex E.2)."""
    most = min(max_pdu or LARGEST_UNLIMITED, LARGEST_UNLIMITED)
    return max((most - VALUE_HEAD) & ~1, SMALLEST_FRAGMENT)


def data_fragments(
    context_id: int, block: memoryview, size: int, *, last: bool
) -> Iterator[bytes | memoryview]:
    """Yield the PDUs of a block of a data set: the head of each, then its fragment, which is not copied.

    Parameters
    ----------
    context_id : int
        Presentation context.
    block : memoryview
        A number of whole fragments, unless it is the last one.
    size : int
        Bytes of a fragment, see `fragment_size`.
    last : bool
        Whether the data set ends with this block.
    """
    end = len(block)
    for at in range(0, end, size) if end else [0]:
        fragment = block[at : at + size]
        control = LAST if last and at + size >= end else 0
        yield FRAGMENT_HEAD.pack(
            P_DATA_TF, len(fragment) + VALUE_HEAD, len(fragment) + 2, context_id, control
        )
        yield fragment


def _fragments(context_id: int, control: int, content: bytes, most: int) -> Iterator[bytes]:
    size = fragment_size(most)
    for begin in range(0, len(content), size):
        end = begin + size
        last = LAST if end >= len(content) else 0
        yield _pdu(_value(context_id, control | last, content[begin:end]))


def _value(context_id: int, control: int, content: bytes) -> bytes:
    return struct.pack(">IBB", len(content) + 2, context_id, control) + content


def _pdu(values: bytes) -> bytes:
    return struct.pack(">BBI", P_DATA_TF, 0, len(values)) + values
