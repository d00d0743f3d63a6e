"""The wheel holds what a machine without Node and without a clone needs."""

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.tar.gz"))


def infos(wheel: Path) -> dict[str, zipfile.ZipInfo]:
    """The files in a wheel by name."""
    return {info.filename: info for info in zipfile.ZipFile(wheel).infolist()}


def test_the_wheel_holds_both_packages_the_browser_parts_the_bundled_lab_and_the_image_recipe(wheel: Path) -> None:
    names = list(infos(wheel))
    parts = ("panes.js", "panes.css", "labview.js", "labview-widget.js", "progress-widget.js", "site.css")
    wanted = {f"labkit/static/{name}" for name in parts} | {"labkit/locale/de/LC_MESSAGES/labkit.mo"}
    wanted |= {"lti_app/__init__.py", "labkit/images/tiny/lock.json", "labkit/templates/bundled/hello-lab/lab.yaml"}
    assert wanted - set(names) == set()
    assert any(name.endswith("THIRD-PARTY-NOTICES.md") for name in names)
    assert {name.split("/")[0].rpartition(".")[2] for name in names} == {"labkit", "lti_app", "data", "dist-info"}


def test_wheel_and_sdist_hold_no_caches_and_are_of_a_bounded_size(wheel: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert {"pyproject.toml", "LICENSE", "labkit/static/panes.js", "labkit/labextension/package.json"} <= set(names)
    caches = re.compile(
        r"(^|/)(__pycache__|node_modules|\.[a-z_]*cache|\.venv|\.git|\.hypothesis|dist|built)(/|$)|\.pyc$"
    )
    assert [name for name in [*names, *infos(wheel)] if caches.search(name)] == []
    assert (wheel.stat().st_size < 3 << 20, sdist.stat().st_size < 8 << 20) == (True, True)


def test_the_wheel_places_both_jupyter_extensions_where_jupyter_finds_them_without_node(wheel: Path) -> None:
    placed = {name.partition(".data/data/")[2]: info for name, info in infos(wheel).items()}
    extension = "share/jupyter/labextensions/labkit"
    wanted = {f"{extension}/{name}" for name in ("package.json", "install.json", "schemas/labkit/plugin.json")}
    assert wanted | {"etc/jupyter/jupyter_server_config.d/labkit.json"} <= set(placed)
    entry = json.loads(zipfile.ZipFile(wheel).read(placed[f"{extension}/package.json"]))["jupyterlab"]["_build"]["load"]
    assert f"{extension}/{entry}" in placed
    assert sum(info.compress_size for name, info in placed.items() if name.startswith(extension)) < 100_000
    assert not any("node_modules" in name or ".map" in name for name in placed)
