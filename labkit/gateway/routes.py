"""The route table: everything that the gateway answers on labkit's own origin, a row each. Pure.

A row says what a request must bring before its handler is called, so that no handler can forget to ask, and a test can
walk the table. What a machine serves (`http` panes) is on origins of its own: see `sites.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

_PARTS = {
    "lab": r"[a-z][a-z0-9]{2,30}",
    "machine": r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?",
    "pane": r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?",
    "file": r"[a-z0-9]+(?:[.-][a-z0-9]+)*\.(?:js|css)",
}


class Needs(StrEnum):
    """What a request must hold. A ticket is checked with all that stands behind it: lab, epoch, machine, pane."""

    NOTHING = "nothing"
    VIEW = "view"
    CONTROL = "control"
    CODE = "code"
    OPERATOR = "operator"


class Bears(StrEnum):
    """Where the ticket stands."""

    HEADER = "header"
    SUBPROTOCOL = "subprotocol"


@dataclass(frozen=True)
class Row:
    """One route. `handler` names a function of the application's; `pattern` has `{names}` of _PARTS, matched whole.

    Every method but GET changes something: it needs the header `Labkit-Request: 1` and a page of the same origin. A
    request has a body only where `body` says how many bytes of it may come (None: as many as the handler allows).
    """

    handler: str
    method: str
    pattern: str
    needs: Needs
    bears: Bears = Bears.HEADER
    body: int | None = 0
    expression: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = re.split(r"\{(\w+)\}", self.pattern)
        fixed = [re.escape(text) for text in parts[::2]]
        named = [f"(?P<{name}>{_PARTS[name]})" for name in parts[1::2]]
        whole = "".join(text for pair in zip(fixed, [*named, ""], strict=True) for text in pair)
        object.__setattr__(self, "expression", re.compile(whole))

    @property
    def changes(self) -> bool:
        """Whether a request of this row changes something."""
        return self.method != "GET"


_PANE = "/panes/{lab}/{machine}/{pane}"
_FILES = "/files/{lab}/{machine}"
_CODE_BYTES = 256

TABLE = (
    Row("alive", "GET", "/livez", Needs.NOTHING),
    Row("ready", "GET", "/readyz", Needs.NOTHING),
    Row("metrics", "GET", "/metrics", Needs.OPERATOR),
    Row("static", "GET", "/static/{file}", Needs.NOTHING),
    Row("slash", "GET", _PANE, Needs.NOTHING),
    Row("page", "GET", f"{_PANE}/", Needs.NOTHING),
    Row("state", "GET", f"{_PANE}/state", Needs.VIEW),
    Row("stream", "GET", f"{_PANE}/stream", Needs.VIEW, Bears.SUBPROTOCOL),
    Row("screenshot", "GET", f"{_PANE}/screenshot", Needs.VIEW),
    Row("preview", "GET", f"{_PANE}/preview", Needs.CONTROL),
    Row("visit", "POST", f"{_PANE}/visit", Needs.CONTROL),
    Row("code", "POST", f"{_PANE}/code", Needs.VIEW),
    Row("redeem", "POST", f"{_PANE}/redeem", Needs.CODE, body=_CODE_BYTES),
    Row("folder", "GET", f"{_FILES}/folder", Needs.CONTROL),
    Row("make-folder", "POST", f"{_FILES}/folder", Needs.CONTROL),
    Row("download", "GET", f"{_FILES}/content", Needs.CONTROL),
    Row("upload", "PUT", f"{_FILES}/content", Needs.CONTROL, body=None),
    Row("remove", "DELETE", f"{_FILES}/content", Needs.CONTROL),
    Row("rename", "POST", f"{_FILES}/rename", Needs.CONTROL),
)


@dataclass(frozen=True)
class PanePath:
    """One pane of one machine of one lab, as its path names it (`pane` is "" where it names a machine): nothing of it
    is known to exist."""

    lab: str
    machine: str
    pane: str


@dataclass(frozen=True)
class Match:
    """A row and what its pattern's names stand for."""

    row: Row
    values: dict[str, str]

    @property
    def pane(self) -> PanePath:
        """The pane that the path names; for rows below `/panes/…` and `/files/…` only."""
        return PanePath(self.values["lab"], self.values["machine"], self.values.get("pane", ""))

    @property
    def label(self) -> str:
        """The route for a log line: rebuilt from what matched, so that it holds nothing that a request made up."""
        return self.row.pattern.format(**self.values)


@dataclass(frozen=True)
class NoMatch:
    """No such page (404), or not by this method (405, with those that there are)."""

    methods: tuple[str, ...] = ()


def match(method: str, path: str) -> Match | NoMatch:
    """The row of `method` on `path` (no query; percent signs are never decoded: no path of ours holds one).

    HEAD is GET without the body.
    """
    asked = "GET" if method == "HEAD" else method
    found = [(row, hit) for row in TABLE if (hit := row.expression.fullmatch(path))]
    for row, hit in found:
        if row.method == asked:
            return Match(row, hit.groupdict())
    return NoMatch(tuple(row.method for row, _ in found))
