"""A real Jupyter server with labkit's server extension and JupyterLab extension, as an installation has them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
TOKEN = "hidden"
LOGIN = {"Authorization": f"token {TOKEN}"}
BASE = "/user/alice/"


@dataclass
class Jupyter:
    """A running server: its port, where its log is, and its process."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{BASE}"

    def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of a request below the base URL."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body)
            connection.request(method, BASE + path, body=data, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def json(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The same for who is signed in."""
        status, _, said = self.ask(method, path, body, **LOGIN)
        return status, json.loads(said)


def installed(folder: Path) -> dict[str, str]:
    """The variables with which Jupyter finds this checkout's extensions where `pip install` would have placed them."""
    config, extensions = folder / "etc/jupyter_server_config.d", folder / "share/labextensions"
    config.mkdir(parents=True)
    extensions.mkdir(parents=True)
    (config / "labkit.json").write_text((ROOT / "labextension/install/server.json").read_text())
    (extensions / "labkit").symlink_to(ROOT / "labkit/labextension")
    return {"JUPYTER_CONFIG_PATH": str(folder / "etc"), "JUPYTER_PATH": str(folder / "share")}


@contextlib.contextmanager
def running_jupyter(
    folder: Path,
    module: str = "jupyter_server",
    *,
    environ: Mapping[str, str],
    config: str = "",
    cwd: Path | None = None,
) -> Iterator[Jupyter]:
    """`python -m MODULE` below a base URL, with a token; its own settings in `folder`. `cwd`: where it is started."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "config.py").write_text(
        f"c.ServerApp.port = {port}\nc.ServerApp.base_url = {BASE!r}\nc.IdentityProvider.token = {TOKEN!r}\n"
        "c.ServerApp.open_browser = False\nc.ServerApp.allow_root = True\n"
        f"c.ServerApp.root_dir = {str(folder)!r}\n{config}"
    )
    own = {
        name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    # -P: as the command `jupyter`, it does not import from where it is started.
    command = [sys.executable, "-P", "-m", module, f"--config={folder / 'config.py'}"]
    environment = {**os.environ, **own, **installed(folder), **environ}
    log = folder / "log"
    with (
        log.open("wb") as said,
        subprocess.Popen(command, env=environment, cwd=cwd, stdout=said, stderr=said) as process,
    ):
        found = Jupyter(port, log, process)
        try:
            _wait(found)
            yield found
        finally:
            process.terminate()


def _wait(jupyter: Jupyter) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and jupyter.process.poll() is None:
        with contextlib.suppress(OSError):
            if jupyter.ask("GET", "api")[0] == 200:
                return
        time.sleep(0.05)
    raise AssertionError(jupyter.log.read_text())
