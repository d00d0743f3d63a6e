"""The web application's process: gunicorn on a unix socket that only this user can open, behind the gateway.

Run as `python -m lti_app.web_server`, by `labkit serve`. Ends on SIGTERM, and when its standard input does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from typing import Any

from gunicorn.app.base import BaseApplication

from labkit import app, settings
from labkit.folders import make_private
from labkit.settings import Settings
from lti_app.application import create_app

_GRACE_SECONDS = 12
"""For answers under way at the end: longer than one waits for an event, shorter than the supervisor waits."""


class WebServer(BaseApplication):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn with our settings; each worker makes an application of its own."""

    def __init__(self, chosen: Settings) -> None:
        self._chosen = chosen
        super().__init__()

    def load_config(self) -> None:
        """No access log: the application and the gateway write what may be written of a request."""
        own = {
            "bind": f"unix:{self._chosen.web_socket}",
            "umask": 0o177,
            "workers": self._chosen.web_workers,
            "worker_class": "gthread",
            "threads": self._chosen.web_threads,
            "graceful_timeout": _GRACE_SECONDS,
            "timeout": 120,
            "errorlog": "-",
            "control_socket_disable": True,
        }
        for name, value in own.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        labs, store = app.served_labs(self._chosen)
        return create_app(self._chosen, labs, store)


def main() -> None:
    """Serve until told to end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    chosen = settings.load()
    make_private(chosen.state_dir)
    make_private(chosen.runtime_dir)
    os.umask(0o077)
    app.served_labs(chosen)[1].close()  # keys, and the store's tables, made once, before there are workers
    threading.Thread(target=_await_end_of_input, daemon=True).start()
    WebServer(chosen).run()


def _await_end_of_input() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
