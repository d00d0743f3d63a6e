"""The outbox's process: counts works and sends grades. Run as `python -m lti_app.outbox_worker`, by `labkit serve`.

Ends on SIGTERM, and when its standard input does; what is under way then is taken up by the next one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading

from labkit import settings
from labkit.folders import make_private
from labkit.orchestrator.grading import Grading
from labkit.orchestrator.template_source import TemplateSource
from labkit.settings import Settings
from labkit.store import SqliteStore
from lti_app.lti.calls import Calls
from lti_app.lti.keys import ToolKeys
from lti_app.lti.outbox import Outbox


def open_outbox(chosen: Settings) -> Outbox:
    """The outbox of an installation, on its store and with its keys."""
    make_private(chosen.state_dir)
    store, calls = SqliteStore(chosen.database), Calls(ToolKeys(chosen), private=chosen.private_platforms)
    return Outbox(store, Grading(store, TemplateSource(chosen.templates_dir)), calls)


def main() -> None:
    """Work until told to end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_await_end_of_input, args=(stop,), daemon=True).start()
    open_outbox(settings.load()).run(stop)


def _await_end_of_input(stop: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    stop.set()


if __name__ == "__main__":
    main()
