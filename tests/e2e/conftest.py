"""The demo as a newcomer starts it, in a home of its own, and a browser before it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, sync_playwright

from labkit.settings import Settings, load

LABKIT = Path(sys.executable).parent / "labkit"
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@dataclass
class Demo:
    """A running `labkit demo`: where it answers, and the home it lives in."""

    url: str
    token: str
    home: Path
    process: subprocess.Popen[str]

    @property
    def environment(self) -> dict[str, str]:
        return home_environment(self.home)

    @property
    def settings(self) -> Settings:
        return load(self.environment)

    def labkit(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command line in the same home."""
        return subprocess.run(
            [LABKIT, *words], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )

    def machines(self) -> list[psutil.Process]:
        """The QEMU processes of this home's labs."""
        return machines_below(self.settings)


def home_environment(home: Path) -> dict[str, str]:
    """A newcomer's environment with a home of his own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LABKIT_", "XDG_", "JUPYTER"))}
    return {**kept, "HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}


def machines_below(settings: Settings) -> list[psutil.Process]:
    """The QEMU processes whose command lines name this state or runtime folder."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        words = " ".join(process.info["cmdline"] or ())
        below = str(settings.runtime_dir) in words or str(settings.state_dir) in words
        if (process.info["name"] or "").startswith("qemu-system") and below:
            found.append(process)
    return found


def new_home(folder: Path) -> Path:
    """A home in which only the machine image is there already (building it is another test's business)."""
    (folder / ".local/state/labkit").mkdir(parents=True)
    (folder / "run").mkdir(mode=0o700)
    (folder / ".local/state/labkit/images").symlink_to(load().images_dir)
    return folder


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """`labkit demo`, from the line with the URL to Ctrl-C."""
    home = new_home(tmp_path_factory.mktemp("home"))
    process = subprocess.Popen(
        [LABKIT, "demo", "--port", "18888"],
        env=home_environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        found = re.search(r"Open (http://127\.0\.0\.1:\d+)/lab/tree/(\S+)\?token=(\S+)", line)
        if found:
            break
    else:
        raise AssertionError(f"the demo ended without a URL:\n{said}")
    running = Demo(found[1], found[3], home, process)
    yield running
    process.send_signal(2)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert running.machines() == []


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield found
        found.close()


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where each stage's screenshot is kept."""
    folder = Path(__file__).parent.parent.parent / "test-output"
    folder.mkdir(exist_ok=True)
    return folder


def eventually(what: str, seconds: float = 20) -> Iterator[None]:
    """Come round again until the caller breaks out; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep a picture of the page where a test fails."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if page is not None and report.failed:
        page.screenshot(path=Path(__file__).parent.parent.parent / "test-output" / f"failed-{item.name}.png")
    return report
