"""What a reader is told, apart from the language in which: a phrase by its key, with the values in it.

All wording that reaches a report, a picture, a key object, a rejection note or a page about them stands in
one file for each language, ``node/domain/languages``, named by its RFC 5646 code. English is complete;
another language has the same keys and, in each phrase, the same values in braces.

Who decides something tells it as a phrase: `tell` gives English text, for logs, records and commands, that
knows by which phrase it was made, so that a report in another language says the same.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import resources
from typing import Any, Final

from node.domain.errors import SettingsError

STORED: Final = ("stored.", "geometry.", "unread.")
"""Beginnings of the keys of phrases that come back from a database as English text; see `Wording.of`."""
CLAUSES: Final = "clauses"
"""Name of a value of such a phrase that is a list of others."""
_CODE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_VALUE: Final = re.compile(r"\{(\w+)[^}]*\}")


class Told(str):
    """English text that knows by which phrase it was made.

    Parameters
    ----------
    text : str
    key : str
        Of the phrase.
    values : mapping
        What stands in its braces; of them, text may be told, too.
    """

    __slots__ = ("key", "values")
    key: str
    values: Mapping[str, object]

    def __new__(cls, text: str, key: str, values: Mapping[str, object]) -> Told:
        """Return the text."""
        told = super().__new__(cls, text)
        told.key, told.values = key, values
        return told

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Return how a copy is made: what is kept in a record, or sent to a process, is text."""
        return str, (str(self),)


class Wording:
    """The wording of one language.

    Parameters
    ----------
    phrases : mapping
        By section and key, as the file has them.
    """

    def __init__(self, phrases: Mapping[str, Mapping[str, str]]) -> None:
        self.language: str = phrases["language"]["code"]
        """By RFC 5646."""
        self.language_name: str = phrases["language"]["name"]
        self.meanings: Mapping[str, str] = phrases["meanings"]
        """Meaning (0008,0104) of each code that the node writes, by its value; at most 64 characters."""
        self.phrases: Mapping[str, str] = {
            f"{section}.{key}": phrase
            for section, several in phrases.items()
            if section not in {"language", "meanings"}
            for key, phrase in several.items()
        }
        """By section and key."""

    def __call__(self, key: str, **values: object) -> str:
        """Return a phrase with values in it.

        Parameters
        ----------
        key : str
            Section and name.
        **values : object
            By their names in the braces; what was told is told in this language, several things in a row.
        """
        return self.phrases[key].format(**{name: self._put_in(value) for name, value in values.items()})

    def of(self, text: str) -> str:
        """Return in this language what was told; text that came from elsewhere as it is.

        Reasons of verdicts lie in the database as English text. They are known by the phrases that make them.
        """
        if isinstance(text, Told):
            return self(text.key, **text.values)
        if self.language == ENGLISH.language:
            return text
        for key, pattern in ENGLISH.stored:
            if (found := pattern.fullmatch(text)) is not None:
                return self(key, **{name: _clauses(name, text) for name, text in found.groupdict().items()})
        return text

    def _put_in(self, value: object) -> object:
        if isinstance(value, tuple):
            return self.phrases["joined.list"].join(str(self._put_in(item)) for item in value)
        return self.of(value) if isinstance(value, str) else value

    @cached_property
    def stored(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        """Key and pattern of each phrase that is stored as text: sentences first, then the longest."""
        found = [(key, phrase) for key, phrase in self.phrases.items() if key.startswith(STORED)]
        found.sort(key=lambda pair: (f"{{{CLAUSES}}}" not in pair[1], -len(_VALUE.sub("", pair[1]))))
        return tuple((key, _pattern(phrase)) for key, phrase in found)


def _clauses(name: str, text: str) -> str | tuple[str, ...]:
    if name != CLAUSES:
        return text
    between = re.escape(ENGLISH("joined.list"))
    return tuple(re.split(rf"{between}(?![^(]*\))", text))  # what stands in brackets is one reason


def _pattern(phrase: str) -> re.Pattern[str]:
    """Return the pattern of what a phrase makes; its braces hold names alone."""
    parts = re.split(r"\{(\w+)\}", phrase)
    text = "".join(f"(?P<{part}>.+?)" if number % 2 else re.escape(part) for number, part in enumerate(parts))
    return re.compile(text, re.DOTALL)


def wording(language: str) -> Wording:
    """Return the wording of a language.

    Raises
    ------
    SettingsError
        There is no file of that language.
    """
    folder = resources.files(__package__).joinpath("languages")
    file = folder.joinpath(f"{language}.toml")
    if not _CODE.fullmatch(language) or not file.is_file():
        names = (item.name for item in folder.iterdir())
        known = sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))
        raise SettingsError(f"no wording in the language {language!r}; there is {', '.join(known)}")
    content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    return Wording(content)


ENGLISH: Final = wording("en")


def known_wording(language: str) -> Wording:
    """Return the wording of a language, English where there is none."""
    try:
        return wording(language)
    except SettingsError:
        return ENGLISH


def tell(key: str, **values: object) -> Told:
    """Return a phrase in English that can be told in another language."""
    return Told(ENGLISH(key, **values), key, values)


def row(parts: Sequence[str]) -> str:
    """Return several things in a row within a clause.

    Parameters
    ----------
    parts : sequence of str
        At least one.
    """
    return functools.reduce(lambda before, last: tell("joined.row", before=before, last=last), parts)


def reason_of(error: Exception) -> str:
    """Return what an error says, as a clause; told where it was raised with something told."""
    told = error.args[0] if error.args else ""
    return told if isinstance(told, Told) else str(error).strip().rstrip(".")
