"""JupyterLab where labs are a service's, at another address: its panes come through Jupyter's own, and are typed in."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.home import LABKIT, eventually, new_home
from tests.support.jupyter import TOKEN, Jupyter, running_jupyter

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def service() -> Iterator[dict[str, str]]:
    """A `labkit serve` that knows its own address: what a client of it has in its surroundings."""
    home = new_home()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    environment = {**home.environment, "LABKIT_PUBLIC_URL": url}
    process = subprocess.Popen([LABKIT, "serve", "--port", str(port)], env=environment)
    for _ in eventually("the service is ready", 60):
        try:
            urllib.request.urlopen(f"{url}readyz", timeout=5).close()
            break
        except OSError:
            assert process.poll() is None
    token = home.labkit("tokens", "create", "local:ada", "--new", LABKIT_PUBLIC_URL=url).stdout.strip()
    yield {"LABKIT_URL": url, "LABKIT_TOKEN": token}
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    home.end()


@pytest.fixture(scope="module")
def jupyter(service: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    folder: Path = tmp_path_factory.mktemp("afar")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LABKIT_")}
    with running_jupyter(folder, "jupyterlab", environ={**kept, "HOME": str(folder), **service}) as found:
        yield found


@pytest.fixture
def page(browser: Browser, jupyter: Jupyter) -> Iterator[Page]:
    found = browser.new_page(viewport={"width": 1500, "height": 950})
    found.set_default_timeout(60_000)
    found.goto(f"{jupyter.url}lab?token={TOKEN}")
    yield found
    found.close()


def test_a_services_lab_is_started_typed_in_checked_and_stopped(page: Page, jupyter: Jupyter) -> None:
    page.locator(".jp-LauncherCard", has_text="Hello, machine").click()
    element = page.locator('iframe[title="box: Terminal"]')
    element.wait_for()
    frame = element.element_handle().content_frame()  # type: ignore[union-attr]
    assert frame is not None
    frame.get_by_text("Connected").first.wait_for()
    assert frame.url.startswith(f"{jupyter.url}labkit/panes/")
    expect(frame.locator(".xterm-rows")).to_contain_text("student@box")
    frame.locator(".xterm-helper-textarea").focus()
    page.keyboard.type("hostname > note.txt; echo sum $((40+2))\n", delay=30)
    expect(frame.locator(".xterm-rows")).to_contain_text("sum 42")
    page.locator("[data-id=labkit-panel]").click()
    panel = page.get_by_role("region", name="Labs")
    panel.get_by_role("button", name="Files").click()
    expect(page.get_by_role("region", name="Files of machines")).to_contain_text("note.txt")
    page.locator("[data-id=labkit-panel]").click()
    panel.get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop lab").click()
    expect(panel).to_contain_text("No lab is running.", timeout=60_000)
