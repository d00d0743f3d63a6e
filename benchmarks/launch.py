"""What a launch costs on the server, against a bare PyJWT decode of the same message, in the same run.

A launch is the request with the platform's message, from the WSGI server's call to the whole answer: every check, one
transaction, a session. The sign-in before it, and the platform's signing, are not counted. With one worker and with
two, each a process of its own on one store; the platform's keys are fetched once in all. Ends with status 1 where a
goal is missed.

    python -m benchmarks.launch [--launches 300]

With `--class 60` the second part alone (`launch_class.py`): so many launches within two minutes against `labkit serve`,
and how long until each learner can type into his machine. `--ahead`: a teacher has started all labs before.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt

from benchmarks import launch_class
from labkit.settings import Settings
from labkit.store import SqliteStore
from lti_app.application import create_app
from tests.lti.browser import Browser
from tests.lti.conftest import direct_labs, site_settings
from tests.lti.platform import MockPlatform, rsa, running_platform

GOAL = 6.0
_WARM_UP = 10


def environ_of(state: str, token: str, cookie: str) -> dict[str, Any]:
    """A launch as a WSGI server hands it over."""
    body = urlencode({"state": state, "id_token": token}).encode()
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/lti/launch",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "tool.example",
        "SERVER_PORT": "443",
        "HTTP_HOST": "tool.example",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_COOKIE": cookie,
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def timed(work: Callable[[], object]) -> float:
    """Processor seconds of this thread: what else the machine does is not counted."""
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


def worker(settings: Settings, url: str, launches: int) -> tuple[list[float], list[float]]:
    """Seconds of each launch, and of each bare decode of the same message, in turns."""
    store = SqliteStore(settings.database)
    app, platform = create_app(settings, direct_labs(settings, store), store), MockPlatform(url)
    browser, public = Browser(app), rsa(1).public_key()
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(launches + _WARM_UP):
        query = parse_qs(urlsplit(browser.login(platform).headers["Location"]).query)
        message = platform.message("launch-student", query["nonce"][0], sub=str(number % 60))
        token = platform.sign(message)
        cookie = browser.client.get_cookie("__Host-labkit-sign-in", "tool.example")
        assert cookie is not None
        environ, status = environ_of(query["state"][0], token, f"{cookie.key}={cookie.value}"), []
        decoding = timed(lambda: jwt.decode(token, public, algorithms=["RS256"], audience=platform.client_id))  # noqa: B023
        launching = timed(lambda: b"".join(app(environ, lambda line, *rest: status.append(line))))  # noqa: B023
        assert status == ["303 SEE OTHER"], status
        if number >= _WARM_UP:
            ours.append(launching)
            theirs.append(decoding)
    store.close()
    return ours, theirs


def run(workers: int, launches: int) -> bool:
    """One line of figures; whether the goals were met."""
    with tempfile.TemporaryDirectory() as folder, running_platform() as platform:
        settings = site_settings(Path(folder) / "state")
        store = SqliteStore(settings.database)
        store.add_platform(platform.registered())
        store.close()
        begun = time.monotonic()
        with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
            found = list(pool.map(worker, [settings] * workers, [platform.url] * workers, [launches] * workers))
        wall = time.monotonic() - begun
        ours = [one for launched, _ in found for one in launched]
        theirs = [one for _, decoded in found for one in decoded]
        ratio, fetches = statistics.median(ours) / statistics.median(theirs), len(platform.fetches)
    half, high, bare = statistics.median(ours), statistics.quantiles(ours, n=20)[-1], statistics.median(theirs)
    print(
        f"{workers} worker(s), {len(ours)} launches: median {half * 1000:.2f} ms, p95 {high * 1000:.2f} ms; "
        f"bare decode {bare * 1000:.2f} ms; ratio {ratio:.2f}, goal {GOAL:.0f}; "
        f"{fetches} fetch(es) of keys, goal 1; {wall:.1f} s with signing and signing in"
    )
    return ratio <= GOAL and fetches == 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launches", type=int, default=300)
    parser.add_argument("--class", dest="size", type=int, default=0)
    parser.add_argument("--ahead", action="store_true")
    parser.add_argument("--seconds", type=float, default=launch_class.WINDOW)
    given = parser.parse_args()
    if given.size:
        return 0 if launch_class.run(given.size, ahead=given.ahead, seconds=given.seconds) else 1
    launches = given.launches
    rsa(1)  # made before workers part
    met = [run(workers, launches) for workers in (1, 2)]
    print("goals met" if all(met) else "goals MISSED")
    return 0 if all(met) else 1


if __name__ == "__main__":
    raise SystemExit(main())
