"""One person's browser at a running service, as far as launches, scripts and terminals need one."""

from __future__ import annotations

import html
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import requests
from requests.cookies import RequestsCookieJar
from websockets.sync.client import connect

from labkit.tickets import SUBPROTOCOL_PREFIX
from tests.support.platform import Activity
from tests.support.served import Served

COURSE = "60"
_LOOK, _PACE, _LONGEST = 0.5, 2.0, 600.0
_STARTED = ("running", "paused")


class _Jar(RequestsCookieJar):
    """Sends secure cookies to localhost without TLS, as browsers do."""

    def set_cookie(self, cookie: Any, *rest: Any, **more: Any) -> None:
        cookie.secure = False
        super().set_cookie(cookie, *rest, **more)


class Visitor:
    """`page` and `pane` are seconds since the click, once they are there. `patience`: for so many seconds what nobody
    answers is asked again, as the page's script does."""

    def __init__(self, served: Served, user: str, course: str = COURSE, *, patience: float = 0.0) -> None:
        self.served, self.user, self.course, self.patience = served, user, course, patience
        self.session = requests.Session()
        self.session.headers.update({"X-Labkit": "1", "Origin": served.origin})
        self.session.cookies = _Jar()
        self.address = ""
        self.page = self.pane = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def enter(self, activity: Activity) -> None:
        """Click on the activity: three messages, redirects and all, then the page with its script."""
        begun = time.monotonic()
        self.arrive(self.sign_in(activity))
        self.page = time.monotonic() - begun

    def sign_in(self, activity: Activity) -> dict[str, str]:
        """The first two messages of a launch. The third one's fields."""
        asked = self.served.platform.login_request(self.user, self.course, activity.id)
        form = self._send("POST", f"{self.served.origin}/lti/login", data=asked).text
        return {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form)}

    def arrive(self, fields: dict[str, str]) -> None:
        """The last message of a launch, and the page with its script."""
        answer = self._send("POST", f"{self.served.origin}/lti/launch", data=fields)
        answer.raise_for_status()
        self.address = answer.url
        for file in ("web.css", "work.js"):
            self._send("GET", f"{self.served.origin}/static/{file}").raise_for_status()

    def ask(self, method: str, **params: object) -> Any:
        """As the page's script asks."""
        answer = self._send("POST", self.address + method, json=params)
        if not answer.ok:
            raise RuntimeError(f"{method}: {answer.status_code} {answer.text[:200]}")
        return answer.json()

    def learn(self, activity: Activity, over: threading.Event) -> None:
        """The whole visit; then the page goes on asking."""
        begun = time.monotonic()
        self.enter(activity)
        lab = self.ask("state")["lab"]
        if lab is None or lab["state"] not in _STARTED:
            self.follow(self.ask("start")["operation"])
        self.ask("view/view")
        self.type("echo $((111*271))", "30081")
        self.pane = time.monotonic() - begun
        while not over.wait(_PACE):
            self.ask("view/status")

    def follow(self, operation: str) -> Any:
        """An operation to its end. Its result."""
        seen, deadline = 0, time.monotonic() + _LONGEST
        while time.monotonic() < deadline:
            answer = self.ask("view/events", operation=operation, after=seen)
            seen = max((event["seq"] for event in answer["events"]), default=seen)
            if answer["operation"]["state"] == "done":
                return answer["operation"]["result"]
            if answer["operation"]["state"] in ("failed", "cancelled"):
                raise RuntimeError(answer["operation"]["error"])
            time.sleep(_LOOK)
        raise TimeoutError(f"no end within {_LONGEST:.0f} s")

    def type(self, command: str, answered: str) -> None:
        """Open the terminal as a browser does, until a typed command has answered."""
        link = self.ask("view/pane_link", machine="box", pane="terminal")
        root = self.served.origin
        for file in (link["path"], "static/panes.css", "static/panes.js"):
            self._send("GET", f"{root}/{file}").raise_for_status()
        address = f"{root.replace('http:', 'ws:')}/{link['path']}stream"
        protocols: Any = ["tty", SUBPROTOCOL_PREFIX + link["ticket"]]
        with connect(address, origin=root, subprotocols=protocols, compression=None, open_timeout=60) as stream:  # type: ignore[arg-type]
            stream.send(b'{"AuthToken":"","columns":80,"rows":24}')
            _read_until(stream.recv, b"student@")
            stream.send(b"0" + command.encode() + b"\n")
            _read_until(stream.recv, answered.encode())

    def _send(self, method: str, address: str, **how: Any) -> requests.Response:
        deadline = time.monotonic() + self.patience
        while True:
            try:
                answer = self.session.request(method, address, timeout=60, **how)
                if answer.status_code not in (502, 503, 504) or time.monotonic() > deadline:
                    return answer
            except requests.ConnectionError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_LOOK)


def _read_until(receive: Callable[..., Any], wanted: bytes) -> None:
    said, deadline = b"", time.monotonic() + 60
    while wanted not in said:
        message = receive(timeout=max(deadline - time.monotonic(), 0.01))
        said += message[1:] if isinstance(message, bytes) else message[1:].encode()
