"""The demo as a newcomer starts it, in a home of its own, and a browser before it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.home import LABKIT, Home, new_home

PICTURES = Path(__file__).parent.parent.parent / "test-output"


@dataclass
class Demo:
    """A running `labkit demo`: where it answers, and the home it lives in."""

    url: str
    token: str
    home: Home


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """`labkit demo`, from the line with the URL to Ctrl-C."""
    home = new_home()
    process = subprocess.Popen(
        [LABKIT, "demo", "--port", "18888"],
        env=home.environment,
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
    yield Demo(found[1], found[3], home)
    process.send_signal(2)
    process.communicate(timeout=60)
    assert process.returncode == 0
    left = home.processes()
    home.end()
    assert left == [], "Ctrl-C ends everything that the demo started"


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where each stage's screenshot is kept."""
    PICTURES.mkdir(exist_ok=True)
    return PICTURES


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep a picture of the page where a test fails."""
    report = yield
    given = getattr(item, "funcargs", {})
    page = given.get("page") or getattr(given.get("place") or given.get("lesson"), "page", None)
    if page is not None and report.failed:
        page.screenshot(path=PICTURES / f"failed-{item.name}.png")
    return report
