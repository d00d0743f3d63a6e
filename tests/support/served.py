"""`labkit serve` in a home of its own, and a platform whose courses are registered with it, on another site."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.engine import until
from tests.support.front import running_front
from tests.support.home import LABKIT, Home, new_home
from tests.support.platform import Platform, running_platform


@dataclass
class Served:
    """A running service. `origin` is a site of its own, and one whose secure cookies browsers keep without TLS."""

    home: Home
    platform: Platform
    origin: str

    port: int
    service: subprocess.Popen[bytes] | None = None

    def kill(self, part: str) -> None:
        """One of the service's processes, and those below it, by a word of its command line. Then it is back."""
        assert self.service is not None
        gone = {found.pid for found in self._parts(part)}
        assert gone, f"there is no {part}"
        for process in self._parts(part):
            process.kill()
        until(lambda: [found for found in self._parts(part) if found.pid not in gone] and self.ready(), 60)

    def _parts(self, part: str) -> list[psutil.Process]:
        assert self.service is not None
        found = psutil.Process(self.service.pid).children(recursive=True)
        return [process for process in found if part in _line(process)]

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@contextmanager
def running_service(*, warm: str = "off", tls: Path | None = None, **settings: object) -> Iterator[Served]:
    """The service, once it answers; afterwards nothing of it is left. `settings` stand in its configuration file.

    `tls`: an empty folder for the certificate with which the service's proxy and the platform then serve https.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = new_home()
    home.warm = warm
    try:
        with ExitStack() as stack:
            origin, secure = f"http://localhost:{port}", None
            if tls is not None:
                origin = f"https://localhost:{stack.enter_context(running_front(tls, port)).port}"
                secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                secure.load_cert_chain(tls / "tls.pem")
            platform = stack.enter_context(running_platform(origin, tls=secure))
            yield from _served(Served(home, platform, origin, port), tls, settings)
    finally:
        home.end()


def _served(found: Served, tls: Path | None, settings: Mapping[str, object]) -> Iterator[Served]:
    home, platform = found.home, found.platform
    own = {"public_url": found.origin, "private_platforms": True, "idle_minutes": 0, **settings}
    (home.folder / ".config/labkit").mkdir(parents=True)
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in own.items())
    (home.folder / ".config/labkit/config.toml").write_text(text)
    trust = {"SSL_CERT_FILE": str(tls / "tls.pem")} if tls else {}
    about = (platform.origin, "--client-id", platform.client, "--deployment", platform.deployment)
    added = home.labkit("lti", "platforms", "add", *about, "--name", "Course", **trust)
    assert added.returncode == 0, added.stderr
    line, environment = [LABKIT, "serve", "--port", str(found.port)], {**home.environment, **trust}
    service = found.service = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL)
    try:
        until(found.ready, 60)
        yield found
    finally:
        service.terminate()
        service.wait(60)
