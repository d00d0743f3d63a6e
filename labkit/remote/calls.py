"""The table of calls: what of `Labs` can be asked over HTTP, and how. Server, client and document are made from it.

A row names a method of `Api`; its arguments and its result are those of the method's own signature, so that the two
cannot disagree. The principal is never an argument: it is told from the token.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from pydantic import BaseModel

from labkit import wire
from labkit.model import Principal
from labkit.orchestrator.labs import Labs

ROOT = "/api/v1"
_NAMES = re.compile(r"\{(\w+)\}")


class Api(Labs, Protocol):
    """What the API answers beside `Labs`."""

    def whoami(self, principal: Principal) -> Principal:
        """Whom the token stands for."""

    def view(self, principal: Principal, lab: str, question: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Ask what the lab view asks (`view`, `status`, `page` …): of the instructions, what this learner may see."""


@dataclass(frozen=True)
class Call:
    """One row. Arguments stand in the path where it names them, else in the query (GET, DELETE) or in a JSON body.

    `hands_out`: the answer holds a secret or a right, so that a token for reading alone is not enough. `operators` are
    the arguments that a learner may not give, `most` the largest values that others have here. `runs`: it is answered
    when what it runs has ended, so that few may ask it at once.
    """

    name: str
    method: str
    path: str
    hands_out: bool = False
    operators: tuple[str, ...] = ()
    most: Mapping[str, float] = field(default_factory=dict)
    runs: bool = False

    @property
    def reads(self) -> bool:
        """Whether a token for reading alone may ask it."""
        return self.method == "GET" and not self.hands_out

    @property
    def in_body(self) -> bool:
        """Whether the arguments that the path does not name stand in a body."""
        return self.method == "POST"

    @cached_property
    def signature(self) -> inspect.Signature:
        """The method's, without `self` and the principal."""
        whole = inspect.signature(getattr(Api, self.name))
        return whole.replace(parameters=list(whole.parameters.values())[2:])

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return typing.get_type_hints(getattr(Api, self.name))

    @cached_property
    def in_path(self) -> tuple[str, ...]:
        """The arguments that the path names."""
        return tuple(_NAMES.findall(self.path))

    @cached_property
    def rest(self) -> type[BaseModel]:
        """The other arguments."""
        found = {name: each for name, each in self.signature.parameters.items() if name not in self.in_path}
        fields = {
            name: (self._hints[name], ... if each.default is inspect.Parameter.empty else each.default)
            for name, each in found.items()
        }
        return wire.arguments("".join(word.title() for word in self.name.split("_")), fields)

    @property
    def result(self) -> Any:
        """What it answers: a type, or None."""
        return self._hints["return"]

    @property
    def summary(self) -> str:
        """What it does, in the words of the interface."""
        return inspect.getdoc(getattr(Api, self.name)) or ""


_LAB = "/labs/{lab}"
_MACHINE = _LAB + "/machines/{machine}"
_ANSWER = "/works/{work}/answers/{question}"
_OPERATION = "/operations/{operation}"

TABLE = (
    Call("whoami", "GET", "/me"),
    Call("templates", "GET", "/templates"),
    Call("labs", "GET", "/labs"),
    Call("start", "POST", "/labs", operators=("activity",)),
    Call("status", "GET", _LAB),
    Call("stop", "POST", f"{_LAB}/stop"),
    Call("pause", "POST", f"{_LAB}/pause"),
    Call("resume", "POST", f"{_LAB}/resume"),
    Call("reset", "POST", f"{_LAB}/reset"),
    Call("extend", "POST", f"{_LAB}/extend"),
    Call("snapshots", "GET", f"{_LAB}/snapshots"),
    Call("snapshot", "POST", f"{_LAB}/snapshots"),
    Call("restore", "POST", f"{_LAB}/restore"),
    Call("check", "POST", f"{_LAB}/check"),
    Call("poll", "POST", f"{_LAB}/poll"),
    Call("recheck", "POST", f"{_LAB}/recheck"),
    Call("solve", "POST", f"{_LAB}/solve"),
    Call("operations", "GET", f"{_LAB}/operations"),
    Call("lab_events", "GET", f"{_LAB}/events"),
    Call("operation", "GET", _OPERATION),
    Call("events", "GET", f"{_OPERATION}/events", most={"wait": 10}),
    Call("cancel", "POST", f"{_OPERATION}/cancel"),
    Call("progress", "GET", f"{_LAB}/progress"),
    Call("tick", "POST", f"{_LAB}/ticks"),
    Call("answer", "POST", f"{_LAB}/answers"),
    Call("open_hint", "POST", f"{_LAB}/hints"),
    Call("collect", "POST", f"{_LAB}/collect"),
    Call("upload", "POST", f"{_LAB}/uploads"),
    Call("instructions", "GET", f"{_LAB}/instructions"),
    Call("view", "POST", _LAB + "/view/{question}"),
    Call("media", "GET", f"{_LAB}/media"),
    Call("credentials", "GET", f"{_LAB}/credentials", hands_out=True),
    Call("pane_link", "POST", _MACHINE + "/panes/{pane}/link"),
    Call("execute", "POST", f"{_MACHINE}/execute", most={"timeout": 60}, runs=True),
    Call("results", "GET", "/results"),
    Call("marks", "GET", "/marks"),
    Call("waiting", "GET", "/waiting"),
    Call("handed_in", "GET", _ANSWER),
    Call("mark", "POST", f"{_ANSWER}/mark"),
    Call("reservations", "GET", "/reservations"),
    Call("reserve", "POST", "/reservations"),
    Call("unreserve", "DELETE", "/reservations/{reservation}"),
)

NOT_REMOTE = {
    "login": "native programs reach machines from the service's own computer; here a lab's panes and files do",
    "port": "a machine's ports are reached from the service's own computer; here a lab's panes and files do",
}
"""The methods of `Labs` that no row serves, and what a client is told."""
