"""A language of which every letter is a z: what is left of English in it was never worded."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final

from pydicom.dataset import Dataset

import node.domain
from node.domain.wording import Wording

BRACES: Final = re.compile(r"(\{[^}]*\})|([A-Za-z])")
WORD: Final = re.compile(r"[A-Za-z]{3,}")
TEXTS: Final = {"LO", "LT", "ST", "UT", "SH"}


def _toy() -> Wording:
    file = resources.files(node.domain).joinpath("languages", "en.toml")
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    for section, phrases in content.items():
        content[section] = {key: BRACES.sub(lambda m: m[1] or "z", said) for key, said in phrases.items()}
    content["language"]["code"] = "zz"
    return Wording(content)


TOY: Final = _toy()


def english_in(text: str) -> list[str]:
    """Return the words of a text that are not of the toy language."""
    return [word for word in WORD.findall(text) if set(word.lower()) != {"z"}]


def elements(data_set: Dataset, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every element with the way to it."""
    for element in data_set:
        here = f"{path}/{element.tag}"
        if element.VR == "SQ":
            yield here, "SQ", len(element.value)
            for number, item in enumerate(element.value):
                yield from elements(item, f"{here}[{number}]")
        else:
            yield here, element.VR, element.value
