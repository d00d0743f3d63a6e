"""What tests of several parts share: one browser for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

STATIC = Path(__file__).parent.parent / "labkit/static"
PARTS = ("panes.js", "labview.js", "labview-widget.js", "progress-widget.js")
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
def browser() -> Iterator[Browser]:
    """Debian's Chromium, started once: a process can drive one Playwright at a time."""
    missing = [name for name in PARTS if not (STATIC / name).exists()]
    if missing:
        pytest.fail(f"not built: {', '.join(missing)}; run `make install`")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM))
        yield found
        found.close()
