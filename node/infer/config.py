"""The model configuration (``config.pbtxt``): as much of the protobuf text format as such files use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from node.domain.errors import BundleError

MAX_CHARACTERS = 65_536
MAX_DEPTH = 16

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      |(?P<string>"(?:[^"\\\n]|\\["\\n])*")
      |(?P<number>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
      |(?P<name>[A-Za-z_]\w*)
      |(?P<mark>[{}\[\]:,;])""",
    re.VERBOSE,
)
_ESCAPES = {r"\"": '"', r"\\": "\\", r"\n": "\n"}

Value = str | list["Value"] | dict[str, list["Value"]]
"""A scalar as written (strings unquoted), a list, or a message: field name to every value given."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What the node needs of ``config.pbtxt``."""

    name: str
    """Name of the model, equal to its folder's."""
    max_batch_size: int
    """Slices in one request, at most."""
    parameters: Mapping[str, str]
    """The free parameters: key to ``string_value``."""
    inputs: tuple[str, ...] = ()
    """Names of the inputs."""

    @property
    def input(self) -> str:
        """Name of the one input.

        Raises
        ------
        BundleError
            When the configuration does not have exactly one.
        """
        if len(self.inputs) != 1:
            raise BundleError(
                f"config.pbtxt of {self.name}: {len(self.inputs)} inputs where one is expected; "
                "export the model again"
            )
        return self.inputs[0]

    def parameter(self, key: str) -> str:
        """Return one parameter.

        Raises
        ------
        BundleError
            When the configuration does not have it.
        """
        try:
            return self.parameters[key]
        except KeyError:
            raise BundleError(
                f"config.pbtxt of {self.name}: parameter {key!r} is missing; export the model again"
            ) from None


def parse_config(text: str) -> ModelConfig:
    """Read a model configuration.

    Parameters
    ----------
    text : str
        Content of ``config.pbtxt``.

    Raises
    ------
    BundleError
        When the text is not in the protobuf text format, or a field that the node needs is missing,
        repeated or of another kind.
    """
    if len(text) > MAX_CHARACTERS:
        raise BundleError(f"config.pbtxt has more than {MAX_CHARACTERS} characters")
    message = _Reader(text).message(depth=0, closing=None)
    batch = _scalar(message, "max_batch_size")
    if not batch.isdecimal() or int(batch) < 1:
        raise BundleError(f"config.pbtxt: max_batch_size must be a positive number, not {batch!r}")
    return ModelConfig(
        name=_scalar(message, "name"),
        max_batch_size=int(batch),
        parameters=MappingProxyType(_parameters(message)),
        inputs=tuple(_scalar(item, "name") for item in _messages(message, "input")),
    )


def _parameters(message: Mapping[str, list[Value]]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for item in _messages(message, "parameters"):
        key = _scalar(item, "key")
        value = item.get("value", [])
        if len(value) != 1 or not isinstance(value[0], dict):
            raise BundleError(f"config.pbtxt: parameter {key!r} needs one value {{ string_value: ... }}")
        if key in parameters:
            raise BundleError(f"config.pbtxt: parameter {key!r} is given twice")
        parameters[key] = _scalar(value[0], "string_value")
    return parameters


def _messages(message: Mapping[str, list[Value]], field: str) -> Iterator[dict[str, list[Value]]]:
    """Return every message of a repeated field, given one by one or as a list."""
    for entry in message.get(field, []):
        for item in entry if isinstance(entry, list) else [entry]:
            if not isinstance(item, dict):
                raise BundleError(f"config.pbtxt: {field} must be messages, {{ ... }}")
            yield item


def _scalar(message: Mapping[str, list[Value]], field: str) -> str:
    values = message.get(field, [])
    if len(values) != 1 or not isinstance(values[0], str):
        raise BundleError(f"config.pbtxt: field {field!r} must be given once, as a single value")
    return values[0]


class _Reader:
    """A recursive-descent reader over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._next = 0

    def message(self, *, depth: int, closing: str | None) -> dict[str, list[Value]]:
        """Read fields up to the closing mark, or to the end of the text where there is none."""
        if depth > MAX_DEPTH:
            raise BundleError(f"config.pbtxt nests deeper than {MAX_DEPTH} levels")
        fields: dict[str, list[Value]] = {}
        while True:
            kind, token = self._take()
            if token == closing and kind in ("mark", "end"):
                return fields
            if kind == "end" and closing is None:
                return fields
            if kind != "name":
                raise BundleError(f"config.pbtxt: a field name was expected, not {token!r}")
            fields.setdefault(token, []).append(self._field(depth))
            self._skip(",", ";")

    def _field(self, depth: int) -> Value:
        colon = self._skip(":")
        if self._skip("{"):
            return self.message(depth=depth + 1, closing="}")
        if self._skip("["):
            return self._list(depth)
        if not colon:
            raise BundleError("config.pbtxt: a single value must follow a colon")
        return self._single()

    def _list(self, depth: int) -> list[Value]:
        items: list[Value] = []
        if self._skip("]"):
            return items
        while True:
            if self._skip("{"):
                items.append(self.message(depth=depth + 1, closing="}"))
            else:
                items.append(self._single())
            if self._skip("]"):
                return items
            if not self._skip(","):
                raise BundleError("config.pbtxt: the items of a list must be separated by commas")

    def _single(self) -> str:
        kind, token = self._take()
        if kind not in ("string", "number", "name"):
            raise BundleError(f"config.pbtxt: a value was expected, not {token!r}")
        return token

    def _take(self) -> tuple[str, str]:
        if self._next >= len(self._tokens):
            return "end", ""
        self._next += 1
        return self._tokens[self._next - 1]

    def _skip(self, *marks: str) -> bool:
        if self._next < len(self._tokens) and self._tokens[self._next] in {("mark", mark) for mark in marks}:
            self._next += 1
            return True
        return False


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            line = text.count("\n", 0, position) + 1
            raise BundleError(
                f"config.pbtxt, line {line}: {text[position : position + 10]!r} is not understood"
            )
        if found.lastgroup == "string":
            yield "string", re.sub(r"\\.", lambda escape: _ESCAPES[escape.group()], found.group()[1:-1])
        elif found.lastgroup != "space":
            yield found.lastgroup, found.group()
        position = found.end()
