"""A small web site on loopback that hosts the lab view: its methods over HTTP, pages with a strict policy, panes."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.view.memory_lab import MemoryLab

PAGES = Path(__file__).parent / "pages"
STATIC = Path(__file__).parents[2] / "labkit" / "static"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}
MEDIA = "img-src 'self' blob:; media-src 'self' blob:"
POLICY = f"default-src 'none'; script-src 'self'; connect-src 'self'; frame-src 'self'; {MEDIA}"


class Site(ThreadingHTTPServer):
    """Serves one lab at `url`; every request sees the site's `lab`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lab: Any = MemoryLab()  # or a TextLab
        self.policy = POLICY

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/lab/media/"):
            return self._file(PAGES / path.removeprefix("/lab/media/"))
        if re.search(r"/panes/\w+/\w+/\w+/$", path):
            return self._file(PAGES / "pane.html")
        name = path.lstrip("/") or "host.html"
        return self._file(
            next((folder / name for folder in (PAGES, STATIC) if (folder / name).is_file()), PAGES / "none")
        )

    def do_POST(self) -> None:
        if self.path.endswith("/code"):  # the gateway's, not the view's: it has a body for nothing
            known = self.headers["Labkit-Request"] == "1"
            body = {"code": f"for-{self.headers['Labkit-Ticket']}"} if known else {"error": "not from our page"}
            return self._send(200 if known else 403, json.dumps(body).encode())
        params = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["X-Labkit"] != "1":
            return self._send(403, b'{"error": "This did not come from our page."}')
        try:
            result = self.server.lab.answer(self.path.removeprefix("/lab/"), params)
        except ValueError as refused:
            return self._send(409, json.dumps({"error": str(refused)}).encode())
        return self._send(200, json.dumps(result).encode())

    def _file(self, path: Path) -> None:
        if not path.is_file():
            return self._send(404, b"")
        return self._send(200, path.read_bytes(), TYPES[path.suffix])

    def _send(self, status: int, body: bytes, mime: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", mime)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", self.server.policy)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """The tests' output is no access log."""
