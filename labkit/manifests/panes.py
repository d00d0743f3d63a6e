"""A machine's panes, as they stand in the annotation that the gateway reads. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable

from labkit.manifests.scope import Object
from labkit.model import Pane


def panes_text(panes: Iterable[Pane]) -> str:
    """A JSON list of {name, type, title, port?}."""
    return json.dumps([_pane(pane) for pane in panes])


def _pane(pane: Pane) -> Object:
    found = {"name": pane.name, "type": pane.type.value, "title": pane.title}
    return found if pane.port is None else {**found, "port": pane.port}
