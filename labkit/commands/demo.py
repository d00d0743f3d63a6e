"""`labkit demo`: JupyterLab on the first notebook, and everything behind it, until Ctrl-C."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click

from labkit import app, launcher
from labkit.errors import SetupError
from labkit.settings import Settings, load

NOTEBOOK = "01-first-lab.ipynb"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"


@click.command()
@click.option(
    "--port", default=8888, show_default=True, help="JupyterLab's port; the next free one is taken where it is in use."
)
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where the notebook's copy goes (default: the state folder)."
)
def demo(port: int, folder: Path | None) -> None:
    """Start JupyterLab on the first notebook and print its URL. Ctrl-C stops all that was started."""
    settings = load()
    work = _work_folder(folder or settings.state_dir / "demo")
    port = _free_port(port)
    token = secrets.token_urlsafe(24)
    before = app.running_labs(settings)
    jupyter: subprocess.Popen[bytes] | None = None
    for signum in _SIGNALS:  # SIGINT too: a shell that starts us in the background has had it ignored
        signal.signal(signum, _interrupt)
    try:
        launcher.ensure(settings, progress=lambda text: click.echo(text))
        jupyter = _start_jupyter(work, port, token)
        _wait_for_port(jupyter, port)
        click.echo(f"\nOpen http://127.0.0.1:{port}/lab/tree/{NOTEBOOK}?token={token}\n\nCtrl-C stops everything.")
        jupyter.wait()
    except KeyboardInterrupt:
        click.echo("\nStopping; a few seconds.")
    finally:
        for signum in _SIGNALS:
            signal.signal(signum, _still_stopping)
        if jupyter is not None:
            jupyter.terminate()
            jupyter.wait()
        _end(settings, before)
        click.echo("What the demo started has stopped; your notebook is kept in " + str(work))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _still_stopping(*_: object) -> None:
    click.echo("Still stopping; a few seconds.")


def _end(settings: Settings, before: frozenset[str] | None) -> None:
    """End the labs that were started meanwhile; and the supervisor, unless it ran before, with labs of its own."""
    try:
        app.stop_labs(settings, keep=before or frozenset(), progress=lambda text: click.echo(text))
    finally:
        if not before:
            launcher.stop(settings)


def _work_folder(folder: Path) -> Path:
    """A folder with a copy of the notebook that the user may change; his copy is never written over."""
    if not (_NOTEBOOKS / NOTEBOOK).exists():
        raise SetupError(
            "the demo's notebook is not part of the installed package; run the demo in a clone, by `make demo`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / NOTEBOOK).exists():
        shutil.copy(_NOTEBOOKS / NOTEBOOK, folder / NOTEBOOK)
    return folder


def _free_port(first: int) -> int:
    for port in range(first, first + 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SetupError(f"no port from {first} to {first + 49} is free; choose another with --port")


def _start_jupyter(work: Path, port: int, token: str) -> subprocess.Popen[bytes]:
    """JupyterLab in a session of its own, so that Ctrl-C reaches us first; its token goes by variable, not by word."""
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={work}"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    if os.getuid() == 0:
        command.append("--allow-root")
    environment = {**os.environ, "JUPYTER_TOKEN": token, "JUPYTERLAB_SETTINGS_DIR": str(_quiet_settings(work))}
    with open(load().logs_dir / "jupyter.log", "ab") as log:
        return subprocess.Popen(command, env=environment, start_new_session=True, stdout=log, stderr=log)


def _quiet_settings(work: Path) -> Path:
    """JupyterLab's settings for the demo: it does not ask about news, and leaves the user's own settings alone."""
    folder = work / ".jupyterlab-settings"
    asked = folder / "@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    asked.parent.mkdir(parents=True, exist_ok=True)
    if not asked.exists():
        asked.write_text('{"fetchNews": "false"}')
    return folder


def _wait_for_port(jupyter: subprocess.Popen[bytes], port: int) -> None:
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        try:
            jupyter.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        raise SetupError(f"JupyterLab did not start; see {load().logs_dir / 'jupyter.log'}")
