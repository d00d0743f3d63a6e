"""The two widgets: an operation's progress; the lab view or a part of it. Drawn by `labkit/static`, fed from here."""

from __future__ import annotations

import logging
import mimetypes
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

from labkit import app, launcher
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


def _with_text(bundle: Any, text: str) -> Any:
    """A widget's mime bundle, with `text` for where no widget can be drawn."""
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    if data:
        data["text/plain"] = text
    return bundle


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

    def _repr_mimebundle_(self, **options: Any) -> Any:
        text = f"{self.title}: {self.detail or self.stage_text or self.state}"
        return _with_text(super()._repr_mimebundle_(**options), text)

    def done(self) -> None:
        """Show that it has succeeded."""
        with self.hold_sync():
            self.progress, self.state = 1.0, "done"

    def fail(self, detail: str) -> None:
        """Show that it has failed, and why."""
        with self.hold_sync():
            self.state, self.detail = "failed", detail


_CHANGES = frozenset({"tick", "answer", "open_hint", "extend"})
"""What changes something that other views of the lab show, too."""


class LabView(anywidget.AnyWidget):
    """Instructions and panes of one lab, or a part of them. The browser asks by messages {id, method, params}; see
    `labkit.view`.

    `show` says what is drawn: {} the whole, {"step": id}, {"pane": "machine:pane"}, {"part": "instructions"}; and
    {"layout": "stacked"} how. `plain` is what is shown where no widget can be.
    """

    show = traitlets.Dict().tag(sync=True)
    _known: ClassVar[weakref.WeakSet[LabView]] = weakref.WeakSet()

    def __init__(self, view: View, lab: str, show: dict[str, str] | None = None, *, plain: Callable[[], str]) -> None:
        self._lab, self.lab, self._plain = view, lab, plain
        super().__init__(_esm=_module("labview-widget.js"), show=show or {})
        self.on_msg(self._answer)
        LabView._known.add(self)

    def changed(self) -> None:
        """Have all views of the same lab in this kernel look at once."""
        for one in list(LabView._known):
            if one.lab == self.lab and one.comm is not None:
                one.send({"event": {"changed": "progress"}})

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return _with_text(super()._repr_mimebundle_(**options), self._plain())

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
                if method == "pane_link":  # for a link, where the notebook's page is none of Jupyter's
                    reply["result"]["direct"] = load().url or launcher.gateway_root(load())
                if "operation" in params or "operation" in reply["result"]:
                    app.wake(load())  # somebody must be there to do it
        except LabkitError as error:
            reply["error"] = str(error)
        except Exception:
            # The view waits for an answer: it gets one, and the log what went wrong.
            _log.exception("the lab view asked %s", method)
            reply["error"] = "labkit failed at this; the notebook's log says why"
        self.send(reply, buffers)
        if method in _CHANGES and "result" in reply:
            self.changed()
