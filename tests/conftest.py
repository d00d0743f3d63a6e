"""What tests of several parts share: a browser."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from labkit import images, settings

STATIC = Path(__file__).parent.parent / "labkit/static"
PARTS = ("panes.js", "labview.js", "labview-widget.js", "preview.js", "progress-widget.js")
# A template is booted beside what runs: no test is to wait for one that it did not ask for.
os.environ.setdefault("LABKIT_WARM", "off")
# A shell that starts the tests in its background has had SIGINT ignored, in all that they start too.
signal.signal(signal.SIGINT, signal.default_int_handler)
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes minutes is run by hand: `pytest -m slow`, or any other `-m`."""
    if config.option.markexpr:
        return
    by_hand = pytest.mark.skip(reason="takes minutes: run by hand with -m slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(by_hand)


@pytest.fixture(scope="session")
def with_web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images web and tiny."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "tiny").symlink_to(settings.load().images_dir / "tiny")
    images.build("web", images_dir=folder, cache_dir=settings.load().cache_dir / "packages")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, for one module: as long as it lives, its event loop is the thread's, and no other can run."""
    missing = [name for name in PARTS if not (STATIC / name).exists()]
    if missing:
        pytest.fail(f"not built: {', '.join(missing)}; run `make install`")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM))
        yield found
        found.close()
