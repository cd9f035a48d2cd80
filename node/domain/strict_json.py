"""Strict reading of small JSON documents: every key known, every key there, every value of its kind."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction
from typing import NoReturn, TypeVar

Value = TypeVar("Value")


class StrictObject:
    """One JSON object whose keys are taken one by one; ``close`` refuses what nobody took.

    Parameters
    ----------
    value : object
        What the JSON parser returned.
    path : str
        Where it stands in the document, for messages.
    error : type of Exception
        Raised with a message that names the key.
    """

    def __init__(self, value: object, path: str, error: type[Exception]) -> None:
        self.path = path
        self.error = error
        if not isinstance(value, dict):
            raise error(f"{path or 'the document'}: expected an object")
        self._left: dict[str, object] = dict(value)

    def fail(self, key: str, expected: str) -> NoReturn:
        """Raise the error for one key."""
        raise self.error(f"{self._name(key)}: expected {expected}")

    def raw(self, key: str) -> object:
        """Take a value of any kind."""
        if key not in self._left:
            raise self.error(f"{self._name(key)}: the key is missing")
        return self._left.pop(key)

    def keys(self) -> tuple[str, ...]:
        """Return the keys that are left, in the document's order."""
        return tuple(self._left)

    def text(self, key: str) -> str:
        """Take a string that is not empty."""
        value = self.raw(key)
        if not isinstance(value, str) or not value:
            self.fail(key, "a string that is not empty")
        return value

    def flag(self, key: str) -> bool:
        """Take true or false."""
        value = self.raw(key)
        if not isinstance(value, bool):
            self.fail(key, "true or false")
        return value

    def whole(self, key: str, lowest: int, highest: int) -> int:
        """Take an integer from a closed range."""
        return self._whole(key, self.raw(key), lowest, highest)

    def number(self, key: str, lowest: float = -math.inf, highest: float = math.inf) -> float:
        """Take a finite number from a closed range."""
        return self._number(key, self.raw(key), lowest, highest)

    def whole_pair(self, key: str, lowest: int, highest: int) -> tuple[int, int]:
        """Take ``[a, b]``, integers from a closed range."""
        first, second = self._list(key, 2)
        return self._whole(key, first, lowest, highest), self._whole(key, second, lowest, highest)

    def interval(self, key: str) -> tuple[float, float]:
        """Take ``[lowest, highest]``, finite numbers in order."""
        first, second = self.numbers(key, 2)
        if first > second:
            self.fail(key, "[lowest, highest] in order")
        return first, second

    def numbers(self, key: str, length: int) -> tuple[float, ...]:
        """Take a list of so many finite numbers."""
        return tuple(self._number(key, item, -math.inf, math.inf) for item in self._list(key, length))

    def share(self, key: str) -> Fraction:
        """Take ``[numerator, denominator]``, a fraction from 0 to 1."""
        numerator, denominator = self.whole_pair(key, 0, 10**9)
        if denominator == 0 or numerator > denominator:
            self.fail(key, "[numerator, denominator] of a fraction from 0 to 1")
        return Fraction(numerator, denominator)

    def choice(self, key: str, of: Callable[[str], Value]) -> Value:
        """Take a string that ``of`` (an enumeration) accepts."""
        value = self.text(key)
        try:
            return of(value)
        except ValueError:
            self.fail(key, f"another value than {value!r}")

    def texts(self, key: str) -> tuple[str, ...]:
        """Take a list of different strings, at least one."""
        value = self.raw(key)
        if not isinstance(value, list) or not value:
            self.fail(key, "a list of strings")
        names = tuple(item for item in value if isinstance(item, str) and item)
        if len(names) != len(value) or len(set(names)) != len(names):
            self.fail(key, "a list of different strings")
        return names

    def child(self, key: str) -> StrictObject:
        """Take an object."""
        return StrictObject(self.raw(key), self._name(key), self.error)

    def optional_child(self, key: str) -> StrictObject | None:
        """Take an object or null; the key must be there."""
        value = self.raw(key)
        return None if value is None else StrictObject(value, self._name(key), self.error)

    def close(self) -> None:
        """Refuse the keys that nobody took."""
        if self._left:
            raise self.error(f"{self._name(next(iter(self._left)))}: unknown key")

    def _name(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _list(self, key: str, length: int) -> list[object]:
        value = self.raw(key)
        if not isinstance(value, list) or len(value) != length:
            self.fail(key, f"a list of {length}")
        return value

    def _whole(self, key: str, value: object, lowest: int, highest: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            self.fail(key, f"an integer from {lowest} to {highest}")
        return value

    def _number(self, key: str, value: object, lowest: float, highest: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(key, "a number")
        if not (math.isfinite(value) and lowest <= value <= highest):
            self.fail(key, f"a number from {lowest:g} to {highest:g}")
        return float(value)


def parse(text: str, error: type[Exception]) -> StrictObject:
    """Parse a JSON document whose root is an object; duplicate keys, NaN and infinity are refused.

    Raises
    ------
    error
        The text is not such a document.
    """

    def no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
        seen: dict[str, object] = {}
        for key, value in pairs:
            if key in seen:
                raise error(f"{key}: the key stands twice")
            seen[key] = value
        return seen

    def no_constant(name: str) -> NoReturn:
        raise error(f"{name} is not a JSON number")

    try:
        value = json.loads(text, object_pairs_hook=no_duplicates, parse_constant=no_constant)
    except (ValueError, RecursionError) as fault:
        raise error(f"not a JSON document: {fault}") from fault
    return StrictObject(value, "", error)
