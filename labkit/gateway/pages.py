"""The one page that is every pane's, and the built files beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from labkit.gateway.responses import CSP, Response, as_text

STATIC = Path(__file__).parent.parent / "static"
"""Where `npm run build` puts the browser parts; the wheel carries them."""

_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

# Every address is relative: behind jupyter-server-proxy the page does not know the prefix it is served below.
_SHELL = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pane - labkit</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="../../../../static/panes.css">
<script type="module" src="../../../../static/panes.js"></script>
</head>
<body><noscript>This page shows a machine's screen or terminal, for which it needs JavaScript.</noscript></body>
</html>
"""


def shell(frames: str, around: str = "") -> Response:
    """The page of any pane. It holds nothing of any lab; the ticket in its address never reaches this server.

    `frames` are the origins of machines' pages, which it may hold in a frame, and `around` those of pages that may hold
    it; "" for none.
    """
    policy = CSP.replace("frame-ancestors 'self'", f"frame-ancestors 'self' {around}".strip())
    policy += f"; frame-src {frames}" if frames else ""
    return Response(200, _SHELL, "text/html; charset=utf-8", headers={"Content-Security-Policy": policy})


class StaticFiles:
    """The built files of one folder. `file` must be a bare name, as routes.Static has it."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._folder = folder
        self._etags: dict[tuple[str, int, int], str] = {}

    def answer(self, file: str, headers: Mapping[str, str]) -> Response:
        """The file; 304 where the browser's own copy is the same; 404."""
        path = self._folder / file
        try:
            found = path.stat()
            body = path.read_bytes()
        except OSError:
            return as_text(404, "There is no such file. The browser parts are built by `npm run build`.")
        key = (file, found.st_mtime_ns, found.st_size)
        if key not in self._etags:
            self._etags[key] = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        etag = {"ETag": self._etags[key]}
        if headers.get("if-none-match") == self._etags[key]:
            return Response(304, b"", _TYPES[path.suffix], "no-cache", etag)
        return Response(200, body, _TYPES[path.suffix], "no-cache", etag)
