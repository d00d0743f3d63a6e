"""What the lab view asks for, whatever carries the question: a Jupyter comm or HTTP. JSON in, JSON out.

The browser's half of this contract is `labextension/src/view/contract.ts`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from labkit.app import Labs
from labkit.errors import Forbidden, LabkitError, NotFound
from labkit.instructions import PageModel, Question, grade
from labkit.model import Answer, LabStatus, MachineStatus, Operation, PaneLink, PaneMode, Principal, Progress
from labkit.remote.client import service_of

Json = dict[str, Any]


class View:
    """One principal's view of one lab, in the language that he asked for (empty: the lab's)."""

    def __init__(self, labs: Labs, principal: Principal, lab: str, language: str = "") -> None:
        self._labs, self._principal, self._lab, self._language = labs, principal, lab, language
        self._methods: Mapping[str, Callable[..., Json]] = {
            "view": self._view,
            "status": self._status,
            "page": self._page,
            "tick": self._tick,
            "answer": self._answer,
            "open_hint": self._open_hint,
            "check": lambda step: self._operated(self._labs.check, step),
            "poll": lambda step: self._operated(self._labs.poll, step),
            "collect": lambda question: self._operated(self._labs.collect, question),
            "upload": lambda upload: self._operated(self._labs.upload, upload),
            "pause": lambda: self._operated(self._labs.pause),
            "resume": lambda: self._operated(self._labs.resume),
            "reset": lambda machine: self._operated(self._labs.reset, machine=machine or None),
            "stop": lambda: self._operated(self._labs.stop),
            "extend": self._extend,
            "events": self._events,
            "pane_link": self._pane_link,
        }

    def handle(self, method: str, params: Mapping[str, Any]) -> Json:
        """Answer one question. Each may name a `language`. Raises LabkitError, whose text the view shows."""
        if service := service_of(self._labs):
            asked = {"language": self._language, **params} if self._language else params
            return service.view(self._principal, self._lab, method, asked)
        return self._handled(method, params)

    def _handled(self, method: str, params: Mapping[str, Any]) -> Json:
        """An answer that is made here, from what `Labs` says."""
        language, rest = str(params.get("language") or ""), {k: v for k, v in params.items() if k != "language"}
        if language != self._language:
            return type(self)(self._labs, self._principal, self._lab, language)._handled(method, params)
        found = self._methods.get(method)
        if found is None:
            raise NotFound(f"the lab view cannot ask {method!r}")
        try:
            inspect.signature(found).bind(**rest)
        except TypeError as error:
            raise LabkitError(f"{method} was asked with the wrong parameters") from error
        return found(**rest)

    def media(self, path: str) -> bytes:
        """A file of the template's media folder. Raises NotFound."""
        return self._labs.media(self._principal, self._lab, path)

    def _view(self) -> Json:
        credentials = self._labs.credentials(self._principal, self._lab)
        status = self._status()
        return {
            **status,
            "credentials": [asdict(credential) for credential in credentials],
            "instructions": self._model().to_json(locked=status["progress"]["locked"]),
        }

    def _status(self) -> Json:
        status = self._labs.status(self._principal, self._lab)
        return {
            "lab": lab_json(status),
            "machines": [machine_json(m) for m in status.machines],
            "progress": self._progress(),
        }

    def _page(self, page: str) -> Json:
        found = next((one for one in self._model().pages if one.id == page), None)
        if found is None:
            raise NotFound(f"the lab has no page {page!r}")
        return {"page": found.to_json(locked=page in self._progress()["locked"])}

    def _tick(self, step: str, done: bool) -> Json:
        return {"progress": self._told(self._labs.tick(self._principal, self._lab, step, done))}

    def _answer(self, question: str, given: list[str]) -> Json:
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            raise LabkitError("an answer is a list of texts")
        return {"progress": self._told(self._labs.answer(self._principal, self._lab, question, given))}

    def _open_hint(self, hint: str) -> Json:
        return {"progress": self._told(self._labs.open_hint(self._principal, self._lab, hint))}

    def _operated(self, call: Callable[..., Operation], *arguments: str, **options: str | None) -> Json:
        return {"operation": call(self._principal, self._lab, *arguments, **options).id}

    def _extend(self, minutes: float) -> Json:
        if not isinstance(minutes, int | float) or not 0 < minutes <= 24 * 60:
            raise LabkitError("a lab's end is put off by some minutes, a day's at most")
        self._labs.extend(self._principal, self._lab, minutes * 60)
        return {"lab": lab_json(self._labs.status(self._principal, self._lab))}

    def _events(self, operation: str, after: int = 0) -> Json:
        # The operation first: an event written between the two calls is then not missed by a last look.
        found = self._labs.operation(self._principal, operation)
        events = self._labs.events(self._principal, operation, after)
        return {
            "events": [asdict(event) for event in events],
            "operation": {"state": found.state.value, "error": found.error, "result": found.result},
            "progress": self._progress(),
        }

    def _pane_link(self, machine: str, pane: str) -> Json:
        return _link(self._labs.pane_link(self._principal, self._lab, machine, pane))

    def _model(self) -> PageModel:
        return self._labs.instructions(self._principal, self._lab, language=self._language)

    def _progress(self) -> Json:
        return self._told(self._labs.progress(self._principal, self._lab))

    def _told(self, progress: Progress) -> Json:
        return progress_json(progress, self._model())


class Watch(View):
    """A view of somebody's lab that shows what he sees, and changes nothing: the other questions are refused here,
    whatever a browser draws. Panes are to look at, credentials are left out, and no check runs by itself."""

    def handle(self, method: str, params: Mapping[str, Any]) -> Json:
        if method not in _READING:
            raise Forbidden("this page is somebody else's: you can look at it, and change nothing")
        return self._handled(method, params)

    def _view(self) -> Json:
        status = self._status()
        locked = status["progress"]["locked"]
        pages = self._model().to_json(locked=locked)
        return {**status, "credentials": [], "instructions": {**pages, "pages": list(map(_at_rest, pages["pages"]))}}

    def _page(self, page: str) -> Json:
        return {"page": _at_rest(super()._page(page)["page"])}

    def _pane_link(self, machine: str, pane: str) -> Json:
        return _link(self._labs.pane_link(self._principal, self._lab, machine, pane, mode=PaneMode.VIEW))


_READING = frozenset({"view", "status", "page", "pane_link"})
"""The questions that change nothing. Not `events`: they are asked for by operations, of whatever lab."""


def _at_rest(page: Json) -> Json:
    """A page whose steps are not checked by themselves."""
    return {**page, "parts": [{**part, "poll": 0} if "poll" in part else part for part in page["parts"]]}


def _link(link: PaneLink) -> Json:
    root = {"root": link.root} if link.root else {}
    return {"path": link.path, "ticket": link.ticket, "expires": link.expires, **root}


def progress_json(progress: Progress, model: PageModel) -> Json:
    """What has been done of `model`, and what is handed out for it: opened hints, words on answers, points."""
    locked = model.locked(progress)
    hints = ((key, model.hints[key]) for key in progress.opened if key in model.hints)
    return {
        "ticks": sorted(progress.ticks),
        "results": {
            step: {
                "verdict": result.verdict.value,
                "feedback": result.feedback,
                "time": result.time,
                "score": progress.scores.get(step, 0.0),
            }
            for step, result in progress.results.items()
        },
        "hints": {key: hint.html for key, hint in hints if hint.page not in locked},
        "answers": {
            name: _answer(question, progress.answers[name])
            for name, question in model.questions.items()
            if name in progress.answers
        },
        "locked": sorted(locked),
        "points": progress.points({step.id: step.points for step in model.steps}),
        "max_points": model.max_points,
    }


def _answer(question: Question, answers: Sequence[Answer]) -> Json:
    """The last answer to a question, and what is said to it; the right ones only once nothing more can be answered."""
    last = answers[-1]
    left = max(0, question.attempts - len(answers)) if question.attempts else None
    over = bool(last.right) or left == 0 or (question.by_hand and last.points is not None)
    try:
        feedback = grade(question, last.given).feedback
    except ValueError:  # the author has changed the question since
        feedback = ()
    return {
        "given": list(last.given),
        "right": last.right,
        "points": last.points,
        "comment": last.comment,
        "left": left,
        "over": over,
        "feedback": list(feedback),
        "solution": question.right if over and not question.by_hand else None,
    }


def lab_json(status: LabStatus) -> Json:
    """A lab as the view is told of it."""
    return {
        "id": status.id,
        "template": status.template,
        "title": status.title,
        "state": status.state.value,
        "detail": status.detail,
        "created": status.created,
        "ended": status.ended,
        "ends": status.ends,
    }


def machine_json(machine: MachineStatus) -> Json:
    """A machine as the view is told of it."""
    return {
        "name": machine.name,
        "type": machine.type,
        "state": machine.state.value,
        "detail": machine.detail,
        "address": machine.address,
        "panes": [{"name": pane.name, "type": pane.type.value, "title": pane.title} for pane in machine.panes],
    }
