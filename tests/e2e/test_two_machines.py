"""A VM and a container on one network, as a learner has them: in Chromium, on the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from labkit import images
from labkit.settings import load
from tests.support.home import Home, new_home

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """A home with the images tiny and web."""
    made = new_home(image=False)
    folder = made.settings.images_dir
    folder.mkdir()
    (folder / "tiny").symlink_to(load().images_dir / "tiny")
    images.build("web", images_dir=folder, cache_dir=load().cache_dir / "packages")
    yield made
    made.end()


@dataclass
class Lab:
    """The lab two-machines: its id, and the links to its terminal panes by machine."""

    id: str
    terminals: dict[str, str]


@pytest.fixture(scope="module")
def lab(home: Home) -> Lab:
    started = home.json("start", "two-machines")
    links = home.json("open", started["id"], "--print")
    return Lab(started["id"], {link["machine"]: link["url"] for link in links if link["pane"] == "terminal"})


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(30_000)
    yield page
    page.close()


def typed(page: Page, lab: Lab, machine: str, prompt: str, line: str) -> None:
    """Type a line into a machine's terminal pane."""
    page.goto(lab.terminals[machine])
    rows = page.locator(".xterm-rows")
    expect(rows).to_contain_text(prompt, timeout=30_000)
    page.locator(".xterm-helper-textarea").focus()
    page.keyboard.type(line + "; echo done-$((6*7))\n", delay=20)
    expect(rows).to_contain_text("done-42", timeout=30_000)


def test_the_client_reaches_web_by_its_name_and_the_check_passes(
    page: Page, home: Home, lab: Lab, pictures: Path
) -> None:
    typed(page, lab, "client", "student@client:~$", "wget -O notice.txt http://web/notice/")
    page.screenshot(path=pictures / "two-machines-client.png")
    assert home.json("check", lab.id, "fetch")["verdict"] == "passed"


def test_what_is_written_in_the_containers_terminal_is_served_to_the_client(
    page: Page, home: Home, lab: Lab, pictures: Path
) -> None:
    typed(page, lab, "web", "~ #", "(echo hello; cat /srv/www/notice/index.html) > /srv/www/hello.html")
    page.screenshot(path=pictures / "two-machines-web.png")
    assert home.json("check", lab.id, "publish")["verdict"] == "passed"


def test_a_command_in_the_container_has_its_own_exit_status(home: Home, lab: Lab) -> None:
    done = home.labkit("exec", lab.id, "web", "hostname; exit 3")
    assert (done.returncode, done.stdout) == (3, "web\n")


def test_afterwards_nothing_is_left(home: Home, lab: Lab) -> None:
    assert home.labkit("stop", lab.id).returncode == 0
    assert home.leftovers() == []
