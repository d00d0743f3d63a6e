"""The wheel in fresh environments, as an ordinary user, where there is neither Node nor QEMU."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parent.parent.parent
NOBODY = 65534


@dataclass
class Fresh:
    """A virtual environment with the wheel, and a user who has nothing else."""

    folder: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A program of the environment. On its PATH there is nothing else."""
        programs, home = self.folder / "venv/bin", self.folder / "home"
        environment = {"HOME": str(home), "PATH": str(programs), "LANG": "C.UTF-8"}
        own: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        line = [str(programs / words[0]), *words[1:]]
        return subprocess.run(line, env=environment, cwd=home, capture_output=True, text=True, timeout=120, **own)

    def python(self, code: str) -> str:
        """What a program in Python prints."""
        done = self.run("python", "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextmanager
def fresh(*packages: str) -> Iterator[Fresh]:
    folder = Path(tempfile.mkdtemp(prefix="lkf"))
    folder.chmod(0o755)
    (folder / "home").mkdir()
    if os.getuid() == 0:
        os.chown(folder / "home", NOBODY, NOBODY)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    python = "/usr/bin/python3" if os.getuid() == 0 else sys.executable  # root's own may be out of another's reach
    subprocess.run([python, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    wanted = [word.replace("labkit[", f"{next(folder.glob('*.whl'))}[") for word in packages]
    without = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    pip = [sys.executable, "-m", "pip", "--python", folder / "venv/bin/python"]
    subprocess.run([*pip, "install", "--quiet", "--no-compile", *wanted], cwd=folder, env=without, check=True)
    yield Fresh(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def jupyter() -> Iterator[Fresh]:
    with fresh("labkit[jupyter]", "jupyterlab") as found:
        yield found


@pytest.fixture(scope="module")
def lti() -> Iterator[Fresh]:
    with fresh("labkit[lti]") as found:
        yield found


def test_both_extensions_are_enabled_and_ok(jupyter: Fresh) -> None:
    listed = [jupyter.run("jupyter", *words) for words in (("labextension", "list"), ("server", "extension", "list"))]
    front, back = (done.stdout + done.stderr for done in listed)
    assert any("labkit v" in line and "enabled" in line and "OK" in line for line in front.splitlines()), front
    assert any("labkit.jupyter.server" in line and "OK" in line for line in back.splitlines()), back


def test_labkit_is_imported_and_says_in_one_sentence_why_no_engine_can_be_started(jupyter: Fresh) -> None:
    shown = jupyter.python("import labkit; print(labkit.templates()); import labkit.jupyter.server")
    assert "hello-lab" in shown
    done = jupyter.run("labkit", "start", "hello-lab")
    assert (done.returncode, done.stdout, len(done.stderr.strip().splitlines())) == (1, "", 1)
    assert "the embedded engine is not installed" in done.stderr
    assert "install labkit's wheel with its extra [engine]" in done.stderr
    tried = jupyter.run("python", "-c", "import labkit; labkit.start('hello-lab')")
    assert tried.stderr.strip().splitlines()[-1].startswith("labkit.errors.SetupError: the embedded engine is not")


def test_without_jupyter_the_pages_of_panes_are_there(lti: Fresh) -> None:
    found = "import importlib.util as u; print([u.find_spec(name) for name in ('IPython', 'jupyterlab')])"
    assert lti.python(found) == "[None, None]"
    sizes = "import labkit, pathlib; s = pathlib.Path(labkit.__file__).parent / 'static'; "
    assert int(lti.python(sizes + "print(sum((s / n).stat().st_size for n in ('panes.js', 'panes.css')))")) > 100_000
    assert lti.run("labkit", "serve", "--help").returncode == 0
