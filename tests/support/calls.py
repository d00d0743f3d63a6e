"""A call of every row of the API, as a walk over all of them needs it."""

from __future__ import annotations

from typing import Any

SAMPLES = {
    "machine": "box", "pane": "terminal", "step": "note", "question": "view", "path": "media/box.svg", "seconds": 60.0,
    "name": "one", "done": True, "given": ["x"], "hint": "h", "params": {}, "command": "id", "timeout": 5.0,
    "activity": "hello-lab", "begins": 0.0, "ends": None, "labs": 1, "spares": 0, "reservation": "r",
    "template": "none", "work": "w", "points": 1.0, "upload": "u",
}  # fmt: skip


def arguments(call: Any, lab: str, operation: str) -> dict[str, Any]:
    """What a row of the API's table cannot be called without."""
    known = {**SAMPLES, "lab": lab, "operation": operation}
    needed = [name for name, each in call.signature.parameters.items() if each.default is each.empty]
    return {name: known[name] for name in needed}
