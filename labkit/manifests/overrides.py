"""An author's own fields, laid over what labkit has made: the last word. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(base: Any, over: Any) -> Any:
    """`over` laid on `base`, neither changed: maps key by key, `null` takes a key away, and lists of things with names
    by these names (what is new comes at the end). Everything else is replaced as a whole.
    """
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        kept = {key: value for key, value in base.items() if over.get(key, value) is not None}
        return kept | {key: merged(base.get(key), value) for key, value in over.items() if value is not None}
    if isinstance(over, Mapping):
        return merged({}, over)
    if _named(base) and _named(over):
        given = {item["name"]: item for item in over}
        known = [merged(item, given.pop(item["name"], {})) for item in base]
        return known + [merged({}, item) for item in given.values()]
    return over


def _named(value: Any) -> bool:
    return (
        isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) and "name" in item for item in value)
    )
