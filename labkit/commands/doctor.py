"""`labkit doctor`: what works on this machine, and what to do about what does not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from labkit import app, launcher
from labkit.cluster.client import chosen
from labkit.commands.output import as_json, print_json, print_table
from labkit.errors import LabkitError
from labkit.settings import Settings, load

_STATIC = Path(__file__).parent.parent / "static"
_BROWSER_PARTS = ("panes.js", "labview-widget.js", "progress-widget.js")
_ENGINE_SECONDS = 60


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it will do, what was found, and what to do where it will not."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Say what works on this machine and what to do about what does not. Exit status 1 where something is amiss."""
    settings = load()
    findings = [*_engine(settings), _browser_parts(), _jupyter(), _running(settings), _cluster(settings)]
    if as_json:
        print_json({"findings": findings, "settings": settings.environment()})
    else:
        rows = [
            ("ok" if f.ok else "MISSING", f.name, f.detail + (f"\n-> {f.remedy}" if f.remedy else "")) for f in findings
        ]
        print_table(("", "WHAT", "FOUND"), rows, empty="")
        click.echo("\nSettings (LABKIT_* variables, or keys of the TOML file in lower case):")
        for field in fields(settings):
            value = getattr(settings, field.name)
            click.echo(f"  {field.name} = {'' if value is None else value}")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


def _engine(settings: Settings) -> list[Finding]:
    """The engine's own word on QEMU, acceleration, network and image: it is asked as a process of its own."""
    if chosen(settings) != settings.engine_kubeconfig:
        return []
    command = [sys.executable, "-m", "labkit.local", "--doctor", "--images-dir", str(settings.images_dir)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ENGINE_SECONDS, check=False)
        return [Finding(**found) for found in json.loads(done.stdout)]
    except subprocess.TimeoutExpired:
        return [
            Finding(
                "engine", False, f"it did not answer within {_ENGINE_SECONDS} s", "run it by hand: " + " ".join(command)
            )
        ]
    except (ValueError, TypeError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return [Finding("engine", False, last, "install labkit's wheel with its extra [engine]")]


def _browser_parts() -> Finding:
    missing = [name for name in _BROWSER_PARTS if not (_STATIC / name).exists()]
    if missing:
        return Finding(
            "browser parts", False, f"not built: {', '.join(missing)}", "make install (needs Node 20 and npm)"
        )
    return Finding("browser parts", True, ", ".join(_BROWSER_PARTS))


def _jupyter() -> Finding:
    found, missing = [], []
    for package in ("jupyterlab", "ipywidgets", "anywidget", "jupyter-server-proxy"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        return Finding(
            "Jupyter", False, f"not installed: {', '.join(missing)}", "pip install 'labkit[jupyter]' jupyterlab"
        )
    return Finding("Jupyter", True, ", ".join(found))


def _running(settings: Settings) -> Finding:
    status = launcher.status(settings)
    if status is None:
        return Finding("supervisor", True, "not running; it is started when a lab needs it")
    waiting = [child["name"] for child in status["children"] if not child["ready"]]
    if waiting:
        return Finding("supervisor", False, f"not ready: {', '.join(waiting)}", f"read the logs in {settings.logs_dir}")
    return Finding("supervisor", True, f"process {status['pid']}, all parts ready")


def _cluster(settings: Settings) -> Finding:
    if chosen(settings) == settings.engine_kubeconfig:
        return Finding("cluster", True, "the embedded engine (LABKIT_KUBECONFIG names no other)")
    try:
        found = app.engine_version(settings)
    except LabkitError as error:
        return Finding("cluster", False, str(error), f"check it with kubectl --kubeconfig {settings.kubeconfig}")
    return Finding("cluster", True, f"{settings.kubeconfig or 'the cluster of this pod'}: Kubernetes {found}")
