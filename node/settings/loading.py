"""From the settings file and the environment to :class:`Settings`, with errors that name the key.

The environment overrides the file: ``GROUNDGLASS_NODE__PORT=11113`` sets ``port`` in ``[node]``.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource

from node.domain.errors import SettingsError
from node.settings import destinations, pull
from node.settings.section import Section
from node.settings.settings import Settings
from node.settings.tls import CalledOverTls

DESTINATIONS, ARCHIVES, MOVE_DESTINATIONS = "destinations", "archives", "move_destinations"
TABLES_BY_KIND: Mapping[str, Mapping[str, type[Section]]] = MappingProxyType(
    {DESTINATIONS: destinations.DESTINATIONS, ARCHIVES: pull.ARCHIVES}
)
"""Lists of tables of which each says by its ``kind`` which keys it has."""


class _Environment(EnvSettingsSource):
    """The environment that was handed in, in place of the process's own."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._environ.items()}


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings.

    Parameters
    ----------
    path : Path or None
        The TOML file; None takes the defaults.
    environ : Mapping
        The environment; ``GROUNDGLASS_<TABLE>__<KEY>`` overrides the file.

    Raises
    ------
    SettingsError
        One line for each key that is wrong.
    """
    values = _read_toml(path) if path is not None else {}
    try:
        from_environment = _Environment(environ)()
    except ValueError as error:  # SettingsError of pydantic-settings: a value that should be JSON is not
        raise SettingsError(f"environment: {error}; lists and tables are written as JSON") from None
    merged = _merge(values, from_environment)
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(detail) for detail in _innermost(error.errors()))) from None
    anchored = _anchored(settings, path.resolve().parent if path is not None else Path.cwd())
    return _completed(anchored)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; name the settings file with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); check its permissions and encoding") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}; correct that line") from None


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merge(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _anchored(settings: Settings, folder: Path) -> Settings:
    """Return the settings with their relative paths starting at ``folder``."""
    node = settings.node.model_copy(update={"data_dir": folder / settings.node.data_dir})
    anchored = tuple(destination.anchored(folder) for destination in settings.destinations)
    return settings.model_copy(
        update={
            "node": node,
            "infer": settings.infer.anchored(folder),
            "web": settings.web.anchored(folder),
            "tls": settings.tls.anchored(folder),
            DESTINATIONS: anchored,
            ARCHIVES: tuple(archive.anchored(folder) for archive in settings.archives),
            MOVE_DESTINATIONS: tuple(item.anchored(folder) for item in settings.move_destinations),
            "commitment": settings.commitment.anchored(folder),
        }
    )


def _completed(settings: Settings) -> Settings:
    """Return the settings with what ``[tls]`` says of those who are called, where they say nothing."""

    def complete(item: Section) -> Section:
        return item.completed(settings.tls) if isinstance(item, CalledOverTls) else item

    return settings.model_copy(
        update={
            DESTINATIONS: tuple(map(complete, settings.destinations)),
            ARCHIVES: tuple(map(complete, settings.archives)),
            MOVE_DESTINATIONS: tuple(map(complete, settings.move_destinations)),
            "commitment": settings.commitment.completed(settings.tls),
        }
    )


def _innermost(details: Sequence[Any]) -> list[Any]:
    """Leave out what is only said of a list because one of its items is wrong."""
    places = [detail["loc"] for detail in details]
    return [
        detail
        for detail, place in zip(details, places, strict=True)
        if not any(len(other) > len(place) and other[: len(place)] == place for other in places)
    ]


def _explain(detail: Any) -> str:
    """Return one line for one error of pydantic: the key, what is wrong, what to do."""
    location: tuple[str | int, ...] = detail["loc"]
    key = _key(location)
    match detail["type"]:
        case destinations.UNKNOWN_KIND | pull.UNKNOWN_KIND:
            return f"{key}.kind: {detail['msg']}"
        case "extra_forbidden":
            return f"{key}: unknown key; {_suggestion(location)}"
        case "missing":
            return f"{key}: missing; add it"
        case "value_error":
            message = str(detail["ctx"]["error"])
            return f"{key}: {message}" if key else message
        case _:
            message = detail["msg"][0].lower() + detail["msg"][1:]
            return f"{key}: {message}; it is {detail['input']!r}"


def _key(location: tuple[str | int, ...]) -> str:
    text = ""
    for place, part in enumerate(location):
        if not _is_kind(location, place):
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _is_kind(location: tuple[str | int, ...], place: int) -> bool:
    """Whether pydantic put the kind of a table there, which is no key of the file."""
    return location[0] in TABLES_BY_KIND and place == 2


def _suggestion(location: tuple[str | int, ...]) -> str:
    known = _known_keys(location[:-1])
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(known))}"


def _known_keys(location: tuple[str | int, ...]) -> list[str]:
    """Return the keys of the table at a place of the file; numbers count the tables of a list."""
    table: type[BaseModel] = Settings
    for place, part in enumerate(location):
        if isinstance(part, int):
            continue
        if _is_kind(location, place):
            table = TABLES_BY_KIND[str(location[0])][part]
            continue
        annotation = table.model_fields[part].annotation
        table = next(
            (
                item
                for item in (annotation, *get_args(annotation))
                if isinstance(item, type) and issubclass(item, Section)
            ),
            table,
        )
    return list(table.model_fields)
