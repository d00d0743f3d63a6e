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
    """The lab two-machines: its id, and the links to its panes by machine and pane."""

    id: str
    panes: dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def lab(home: Home) -> Lab:
    started = home.json("start", "two-machines")
    links = home.json("open", started["id"], "--print")
    return Lab(started["id"], {(link["machine"], link["pane"]): link["url"] for link in links})


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(30_000)
    yield page
    page.close()


def typed(page: Page, lab: Lab, machine: str, prompt: str, line: str, pane: str = "terminal") -> None:
    """Type a line into a machine's terminal pane, or another one."""
    page.goto(lab.panes[machine, pane])
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


def test_a_second_shell_in_the_container_needs_no_server_in_it(page: Page, lab: Lab, pictures: Path) -> None:
    typed(page, lab, "web", "/ #", "stty size; hostname", "exec")
    expect(page.locator(".xterm-rows")).to_contain_text("web")
    page.screenshot(path=pictures / "two-machines-exec.png")


def test_the_containers_pages_are_shown_on_an_origin_of_their_own(page: Page, lab: Lab, pictures: Path) -> None:
    page.goto(lab.panes["web", "site"])
    expect(page.frame_locator("iframe").get_by_text("The word of this lab is")).to_be_visible()
    page.screenshot(path=pictures / "two-machines-site.png")
    (site,) = [frame for frame in page.frames if frame is not page.main_frame]
    assert site.evaluate("location.pathname + ' ' + document.cookie") == "/notice/ "
    assert site.evaluate("location.host.split('-')[0]") == lab.id
    assert site.evaluate("try { parent.document.title } catch (error) { error.name }") == "SecurityError"


def test_a_command_in_the_container_has_its_own_exit_status(home: Home, lab: Lab) -> None:
    done = home.labkit("exec", lab.id, "web", "hostname; exit 3")
    assert (done.returncode, done.stdout) == (3, "web\n")


def test_afterwards_nothing_is_left(home: Home, lab: Lab) -> None:
    assert home.labkit("stop", lab.id).returncode == 0
    assert home.leftovers() == []
