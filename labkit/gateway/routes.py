"""What a request asks for, by its method and path. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LAB = r"[a-z][a-z0-9]{2,30}"
_NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PANE = re.compile(rf"/panes/({_LAB})/({_NAME})/({_NAME})/(state|stream)?")
_PANE_BARE = re.compile(rf"/panes/({_LAB})/({_NAME})/({_NAME})")
_STATIC = re.compile(r"/static/([a-z0-9]+(?:[.-][a-z0-9]+)*\.(?:js|css))")


@dataclass(frozen=True)
class PanePath:
    """One pane of one machine of one lab, as its path names it: nothing of it is known to exist."""

    lab: str
    machine: str
    pane: str


@dataclass(frozen=True)
class Shell:
    """The page of a pane: the same bytes for every pane."""

    pane: PanePath


@dataclass(frozen=True)
class State:
    """What a pane is and whether its machine runs."""

    pane: PanePath


@dataclass(frozen=True)
class Stream:
    """The bytes of a pane, over a WebSocket."""

    pane: PanePath


@dataclass(frozen=True)
class Static:
    """A built file: a bare file name, never a path."""

    file: str


@dataclass(frozen=True)
class Alive:
    """/livez: the process serves."""


@dataclass(frozen=True)
class Ready:
    """/readyz: it can also verify tickets and reach the engine."""


@dataclass(frozen=True)
class Refused:
    """No such page (404), no such method (405), or an address that lacks its last slash (308, relative `location`)."""

    status: int
    error: str
    location: str = ""


Route = Shell | State | Stream | Static | Alive | Ready | Refused

_FIXED: dict[str, Route] = {"/livez": Alive(), "/readyz": Ready()}


def route(method: str, path: str) -> Route:
    """The route of `method` on `path` (no query; percent signs are never decoded: no path of ours holds one)."""
    if method not in ("GET", "HEAD"):
        return Refused(405, "Only GET and HEAD are answered here: nothing behind this server is changed by a request.")
    if path in _FIXED:
        return _FIXED[path]
    if found := _PANE.fullmatch(path):
        pane = PanePath(found[1], found[2], found[3])
        return State(pane) if found[4] == "state" else Stream(pane) if found[4] == "stream" else Shell(pane)
    if found := _PANE_BARE.fullmatch(path):
        return Refused(308, "The address of a pane ends with a slash.", location=f"{found[3]}/")
    if found := _STATIC.fullmatch(path):
        return Static(found[1])
    return Refused(404, "There is no such page.")


def label(route: Route) -> str:
    """The route for a log line: rebuilt from what matched, so that it holds nothing that a request made up."""
    match route:
        case Shell(pane) | State(pane) | Stream(pane):
            last = {Shell: "", State: "state", Stream: "stream"}[type(route)]
            return f"/panes/{pane.lab}/{pane.machine}/{pane.pane}/{last}"
        case Static(file):
            return f"/static/{file}"
        case Alive():
            return "/livez"
        case Ready():
            return "/readyz"
        case _:
            return "(no page)"
