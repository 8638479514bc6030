"""Reads settings from one TOML file and the environment, and remembers where each value came from."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from monitor.errors import ConfigError

PREFIX: Final = "ALIGNWATCH__"
"""Environment variables `ALIGNWATCH__SECTION__KEY` override the file; `__` separates levels, case is ignored."""

Key = tuple[str, ...]


def read_toml(path: Path) -> dict[str, Any]:
    """The file's tables.

    Raises:
        ConfigError: it can't be read or is not TOML; the message names the file and the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: can't be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: not TOML: {error}"]) from error


def read_environment(environ: Mapping[str, str]) -> dict[Key, tuple[str, Any]]:
    """Overrides by key: the variable's name and its value.

    A value that parses as JSON (a number, true, a list) is taken as such, and anything else as text.
    """
    found: dict[Key, tuple[str, Any]] = {}
    for name, text in sorted(environ.items()):
        if not name.upper().startswith(PREFIX):
            continue
        key = tuple(part.lower() for part in name[len(PREFIX) :].split("__") if part)
        if key:
            found[key] = (name, _parse(text))
    return found


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def merge(tables: dict[str, Any], overrides: Mapping[Key, tuple[str, Any]]) -> dict[str, Any]:
    """`tables` with every override set; neither argument is changed."""
    merged: dict[str, Any] = json.loads(json.dumps(tables, default=str))
    for key, (name, value) in overrides.items():
        table = merged
        for part in key[:-1]:
            inner = table.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ConfigError([f"{name}: {'.'.join(key)} can't be set, {part} is a value and not a section"])
            table = inner
        table[key[-1]] = value
    return merged


def flatten(tree: Mapping[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Every leaf of nested tables with its key; lists count as leaves."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, (*above, name))
        else:
            yield (*above, name), value
