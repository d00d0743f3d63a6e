"""The two widgets: the progress of an operation, and the lab view. Drawn by `labkit/static`, fed from here."""

from __future__ import annotations

import logging
import mimetypes
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from labkit import app
from labkit.errors import LabkitError, SetupError
from labkit.model import Event
from labkit.settings import load
from labkit.view import View

_log = logging.getLogger(__name__)
_STATIC = Path(__file__).parent.parent / "static"


def _module(name: str) -> str:
    path = _STATIC / name
    if not path.exists():
        raise SetupError(f"{name} has not been built; run `make install` in labkit's folder")
    return path.read_text()


class StartProgress(anywidget.AnyWidget):
    """A labelled bar with the stages of an operation."""

    title = traitlets.Unicode().tag(sync=True)
    stage_text = traitlets.Unicode().tag(sync=True)
    progress = traitlets.Float(0.0).tag(sync=True)
    state = traitlets.Unicode("running").tag(sync=True)
    detail = traitlets.Unicode().tag(sync=True)
    events: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, title: str) -> None:
        self._stages: dict[str, dict[str, Any]] = {}
        super().__init__(_esm=_module("progress-widget.js"), title=title)

    def tell(self, event: Event) -> None:
        """Show an event: the newest of each stage is kept in the list."""
        self._stages[event.stage] = {"text": event.text, "time": event.time}
        with self.hold_sync():
            self.stage_text, self.progress = event.text, event.progress
            self.events = list(self._stages.values())

    def done(self) -> None:
        """Show that it has succeeded."""
        with self.hold_sync():
            self.progress, self.state = 1.0, "done"

    def fail(self, detail: str) -> None:
        """Show that it has failed, and why."""
        with self.hold_sync():
            self.state, self.detail = "failed", detail


class LabView(anywidget.AnyWidget):
    """Instructions and panes of one lab. The browser asks by messages {id, method, params}; see `labkit.view`."""

    def __init__(self, view: View) -> None:
        self._lab = view
        super().__init__(_esm=_module("labview-widget.js"))
        self.on_msg(self._answer)

    def _answer(self, _widget: Any, content: dict[str, Any], _buffers: list[bytes]) -> None:
        reply: dict[str, Any] = {"id": content.get("id")}
        buffers: list[bytes] = []
        method, params = str(content.get("method")), dict(content.get("params") or {})
        try:
            if method == "media":
                path = str(params.get("path"))
                buffers.append(self._lab.media(f"media/{path}"))
                reply["result"] = {"type": mimetypes.guess_type(path)[0] or "application/octet-stream"}
            else:
                reply["result"] = self._lab.handle(method, params)
                if "operation" in params or "operation" in reply["result"]:
                    app.wake(load())  # somebody must be there to do it
        except LabkitError as error:
            reply["error"] = str(error)
        except Exception:
            # The view waits for an answer: it gets one, and the log what went wrong.
            _log.exception("the lab view asked %s", method)
            reply["error"] = "labkit failed at this; the notebook's log says why"
        self.send(reply, buffers)
