"""A machine's panes, as they stand in the annotation that the gateway reads. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable

from labkit.manifests.scope import Object
from labkit.model import Pane


def panes_text(panes: Iterable[Pane]) -> str:
    """A JSON list of {name, type, title, port?, path?}."""
    return json.dumps([_pane(pane) for pane in panes])


def _pane(pane: Pane) -> Object:
    found = {"name": pane.name, "type": pane.type.value, "title": pane.title}
    more = {"port": pane.port, "path": pane.path or None}
    return found | {key: value for key, value in more.items() if value is not None}
