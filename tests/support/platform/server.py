"""The platform as an HTTP(S) server on loopback, with faults on demand."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.support.platform.course import Site
from tests.support.platform.messages import Messages
from tests.support.platform.services import Answer, Request, told


@dataclass
class Fault:
    """What becomes of requests whose path holds `where`, `times` times: a status, a wait, or no answer at all.

    `body` and `headers`: an answer of those. `drip`: so many seconds between one byte of an answer and the next.
    `after`: only once the request has been served as if nothing were wrong.
    """

    where: str
    status: int = 0
    seconds: float = 0.0
    times: int = 1
    after: bool = False
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: float = 0.0


class Platform(Messages):
    """A platform that serves. `seen` is every request as (method, path); while it is `down` nothing is answered."""

    def __init__(self, tool: str, *, tls: ssl.SSLContext | None = None, name: str = "127.0.0.1", port: int = 0) -> None:
        self.offset = 0.0
        trusting = ssl._create_unverified_context()  # noqa: S323 - a tool with a self-signed certificate
        super().__init__(Site(), tool, lambda: time.time() + self.offset, trusting)
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str]] = []
        self.down = False
        self._lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self.server.daemon_threads = True
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.origin = f"{'https' if tls else 'http'}://{name}:{self.server.server_port}"
        self.services.origin, self.services.client = self.origin, self.client
        threading.Thread(target=self.server.serve_forever, args=(0.02,), name="platform", daemon=True).start()

    def fault(self, where: str, **how: Any) -> None:
        """Have the next requests to a path go wrong."""
        self.faults.append(Fault(where, **how))

    def asked(self, where: str) -> int:
        """How many requests went to paths that hold `where`."""
        return sum(where in path for _, path in self.seen)

    def settings(self) -> dict[str, str]:
        """What a tool has to know of this platform, by the names of the OpenID configuration."""
        found = self.configuration()
        names = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
        return {name: found[name] for name in names} | {"client_id": self.client, "deployment_id": self.deployment}

    def answer(self, request: Request) -> Answer | None:
        """One answer, or None where there is to be none."""
        self.seen.append((request.method, request.path))
        fault = next((found for found in self.faults if found.times and found.where in request.path), None)
        if fault is None:
            return None if self.down else self._served(request)
        fault.times -= 1
        time.sleep(fault.seconds)
        if fault.after:
            self._served(request)
        if fault.status or fault.body:
            headers = {**fault.headers, **({"X-Drip": str(fault.drip)} if fault.drip else {})}
            return Answer(fault.status or 200, fault.body or "[]", "application/json", headers)
        return None if fault.after or self.down or not fault.seconds else self._served(request)

    def _served(self, request: Request) -> Answer:
        routes: dict[str, Callable[[Request], Answer]] = {
            "/": lambda request: self.front(),
            "/frame": self.frame,
            "/begin": self.begin,
            "/mod/lti/auth.php": self.authorize,
            "/mod/lti/certs.php": lambda request: told(self.keys),
            "/mod/lti/token.php": self.services.token,
            "/mod/lti/openid-configuration.php": lambda request: told(self.configuration()),
            "/mod/lti/openid-registration.php": self.register,
            "/mod/lti/contentitem_return.php": self.take_items,
        }
        if request.path.startswith("/mod/lti/services.php/"):
            with self._lock:
                return self.services.serve(request)
        found = routes.get(request.path)
        return found(request) if found else Answer(404, "<p>Not found</p>", "text/html")

    # Pages to click on

    def front(self) -> Answer:
        """Courses, and the way into each activity as each of its people; grades beside them."""
        rows = []
        for course in self.site.courses.values():
            rows.append(f"<h2>{escape(course.title)} ({escape(course.label)})</h2>")
            for activity in [*course.activities.values(), None]:
                ways = []
                for user in [*course.teachers, *course.learners] if activity else course.teachers:
                    query = urlencode({"user": user, "course": course.id, "activity": activity.id if activity else ""})
                    shown = [item.shown(user) for item in self.site.coupled(course.id, activity.id if activity else "")]
                    grade = f" ({shown[0]:g})" if shown and shown[0] is not None else ""
                    name = escape(self.site.people[user].name)
                    ways.append(
                        f'<li><a href="/frame?{query}">{name}</a>, '
                        f'<a href="/begin?{query}" target="_blank">new window</a>{grade}'
                    )
                title = escape(activity.title) if activity else "Add an activity (deep linking)"
                rows.append(f"<h3>{title}</h3><ul>{''.join(ways)}</ul>")
        return Answer(200, f"<!doctype html><meta charset=utf-8><title>Platform</title>{''.join(rows)}", "text/html")

    def frame(self, request: Request) -> Answer:
        """An activity as Moodle shows it: in a frame with the rights that Moodle gives it."""
        source = escape(f"/begin?{urlencode(request.query)}")
        allow = f"microphone {self.tool}; camera {self.tool}; autoplay {self.tool}"
        page = f'<iframe id="contentframe" src="{source}" allow="{allow}" allowfullscreen width="100%" height="760">'
        return Answer(200, f"<!doctype html><meta charset=utf-8><title>Activity</title>{page}</iframe>", "text/html")

    def begin(self, request: Request) -> Answer:
        """The first message of a launch, posted by the browser."""
        asked = request.query
        values = self.login_request(
            asked["user"], asked["course"], asked.get("activity", ""), review=asked.get("review", "")
        )
        return self.post_page(self.login, values)


def _handler(platform: Platform) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            target = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(target.query, keep_blank_values=True))
            answer = platform.answer(Request(self.command, target.path, query, headers, body))
            if answer is None:
                self.close_connection = True
                return
            data = answer.body.encode()
            with suppress(ConnectionError):  # whoever asked may be gone by now
                self._send(answer, data)

        def _send(self, answer: Answer, data: bytes) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.type)
            self.send_header("Content-Length", str(len(data)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if pause := float(answer.headers.get("X-Drip", 0)):
                for byte in data:
                    self.wfile.write(bytes([byte]))
                    time.sleep(pause)
            else:
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _do

        def log_message(self, format: str, *values: object) -> None:
            """Nothing: `seen` is the log."""

    return Handler


@contextmanager
def running_platform(tool: str, *, tls: ssl.SSLContext | None = None, name: str = "127.0.0.1") -> Iterator[Platform]:
    """A platform that answers, registered for the tool at this origin; ended afterwards. `name`: of its own host."""
    platform = Platform(tool, tls=tls, name=name)
    try:
        yield platform
    finally:
        platform.server.shutdown()
        platform.server.server_close()
