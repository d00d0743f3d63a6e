"""The wheel holds what a machine without Node and without a clone needs."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_wheel_holds_both_packages_the_browser_parts_the_bundled_lab_and_the_image_recipe(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    parts = ("panes.js", "panes.css", "labview.js", "labview-widget.js", "progress-widget.js", "site.css")
    wanted = {f"labkit/static/{name}" for name in parts} | {"labkit/locale/de/LC_MESSAGES/labkit.mo"}
    wanted |= {"lti_app/__init__.py", "labkit/images/tiny/lock.json", "labkit/templates/bundled/hello-lab/lab.yaml"}
    assert wanted - set(names) == set()
    assert any(name.endswith("THIRD-PARTY-NOTICES.md") for name in names)
    assert {name.split("/")[0] for name in names} == {"labkit", "lti_app", names[-1].split("/")[0]}
