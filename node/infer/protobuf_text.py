"""Writing the protobuf text format, from which `node.infer.config` reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

INDENT = "  "


class Symbol(str):
    """The name of an enumeration's value: written without quotes."""

    __slots__ = ()


Single = str | int | bool | Symbol
Field = Single | Mapping[str, "Field"] | Sequence["Field"]
"""A scalar, a message, or the values of a repeated field."""


def protobuf_text(message: Mapping[str, Field]) -> str:
    """Return a message as text, one field a line, fields in the order given.

    Parameters
    ----------
    message : mapping of str to Field
        An empty sequence is left out, as the format has no empty repeated field.
    """
    return "".join(f"{line}\n" for line in _lines(message, ""))


def quoted(value: str) -> str:
    """Return a string literal."""
    text = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


def _lines(message: Mapping[str, Field], margin: str) -> list[str]:
    lines: list[str] = []
    for name, value in message.items():
        for item in _values(value):
            if isinstance(item, Mapping):
                lines += [f"{margin}{name} {{", *_lines(item, margin + INDENT), f"{margin}}}"]
            else:
                lines.append(f"{margin}{name}: {_single(item)}")
    return lines


def _values(value: Field) -> Sequence[Field]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    return [value]


def _single(value: Field) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not isinstance(value, Symbol):
        return quoted(value)
    return str(value)
