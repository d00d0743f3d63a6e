"""`labkit serve` in a home of its own, and a platform whose courses are registered with it, on another site."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.engine import until
from tests.support.home import LABKIT, Home, new_home
from tests.support.platform import Platform, running_platform


@dataclass
class Served:
    """A running service. `origin` is a site of its own, and one whose secure cookies browsers keep without TLS."""

    home: Home
    platform: Platform
    origin: str

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.origin}/readyz", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def running_service(*, warm: str = "off", **settings: object) -> Iterator[Served]:
    """The service, once it answers; afterwards nothing of it is left. `settings` stand in its configuration file."""
    home = new_home()
    home.warm = warm
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    origin = f"http://localhost:{port}"
    own = {"public_url": origin, "private_platforms": True, "idle_minutes": 0, **settings}
    (home.folder / ".config/labkit").mkdir(parents=True)
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in own.items())
    (home.folder / ".config/labkit/config.toml").write_text(text)
    with running_platform(origin) as platform:
        about = (platform.origin, "--client-id", platform.client, "--deployment", platform.deployment)
        added = home.labkit("lti", "platforms", "add", *about, "--name", "Course")
        assert added.returncode == 0, added.stderr
        service = subprocess.Popen(
            [LABKIT, "serve", "--port", str(port)], env=home.environment, stdout=subprocess.DEVNULL
        )
        found = Served(home, platform, origin)
        try:
            until(found.ready, 60)
            yield found
        finally:
            service.terminate()
            service.wait(60)
            home.end()
