"""From a course on another site to a terminal and a passed check: in Chromium, over https, framed and in a window."""

from __future__ import annotations

import html
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, expect, sync_playwright
from werkzeug.serving import make_server

from labkit import app as labkit_app
from labkit.settings import load
from labkit.store import SqliteStore
from lti_app.application import create_app
from tests.conftest import CHROMIUM
from tests.lti.front import Front, running_front
from tests.lti.platform import MockPlatform, running_platform
from tests.support.home import Home, new_home

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PICTURES = Path(__file__).parents[2] / "test-output" / "lti"
EVIL = "<script>document.title='evil'</script>"


@dataclass
class Site:
    """A course on one site, labkit on another, both behind one TLS port."""

    front: Front
    school: MockPlatform
    home: Home

    @property
    def course(self) -> str:
        return f"https://moodle.test:{self.front.port}/course"


def school_pages(school: MockPlatform, tool: str, handler: BaseHTTPRequestHandler) -> None:
    """What the platform's pages are: a course with the activity in a frame or behind a link, and the two forms."""
    path, query = urlsplit(handler.path).path, parse_qs(urlsplit(handler.path).query)
    if path == "/course":
        body = '<h1>Course</h1><a href="/go" target="_blank">Open</a>' + (
            '<iframe src="/go" width="1200" height="700" allow="fullscreen"></iframe>'
            if "frame=" in handler.path
            else ""
        )
    elif path == "/go":
        given = {"iss": school.url, "client_id": school.client_id, "login_hint": "4", "lti_deployment_id": "1"}
        body = form(f"{tool}/lti/login", given | {"target_link_uri": f"{tool}/lti/launch"})
    elif path == "/auth":
        claims = school.message("launch-student", query["nonce"][0], name=EVIL, target_link_uri=f"{tool}/lti/launch")
        body = form(query["redirect_uri"][0], {"state": query["state"][0], "id_token": school.sign(claims)})
    else:
        return send(handler, school.jwks(), "application/json")
    return send(handler, f"<!doctype html><title>Moodle</title>{body}".encode(), "text/html; charset=utf-8")


def form(target: str, fields: dict[str, str]) -> str:
    """A form that posts itself."""
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(value)}">' for name, value in fields.items()
    )
    return f'<form method="post" action="{target}">{hidden}</form><script>document.forms[0].submit()</script>'


def send(handler: BaseHTTPRequestHandler, body: bytes, kind: str) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = new_home()
    with running_front(tmp_path_factory.mktemp("tls")) as front, running_platform() as school:
        tool, own = f"https://tool.example:{front.port}", school.url
        settings = load({**home.environment, "LABKIT_PUBLIC_URL": tool, "LABKIT_PRIVATE_PLATFORMS": "true"})
        labs, store = labkit_app.open_labs(settings), SqliteStore(settings.database)
        school.url = f"https://moodle.test:{front.port}"
        store.add_platform(school.registered(jwks_url=f"{own}/jwks"))
        school.answer = lambda handler: school_pages(school, tool, handler)
        server = make_server("127.0.0.1", 0, create_app(settings, labs, store), threaded=True)
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        gateway = settings.gateway_socket

        def route(host: str, path: str) -> Path | int:
            if host == "moodle.test":
                return int(own.rsplit(":", 1)[1])
            return gateway if path.startswith("/panes/") else server.server_port

        front.route = route
        yield Site(front, school, home)
        server.shutdown()
        thread.join()
        server.server_close()
        store.close()
    home.end()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, to which both sites' names are this machine."""
    rules = "--host-resolver-rules=MAP moodle.test 127.0.0.1,MAP tool.example 127.0.0.1"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*CHROMIUM, rules])
        yield found
        found.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    found = browser.new_context(ignore_https_errors=True, viewport={"width": 1300, "height": 900})
    found.set_default_timeout(30_000)
    PICTURES.mkdir(parents=True, exist_ok=True)
    yield found
    found.close()


def works(place: FrameLocator | Page, page: Page, name: str, note: str) -> None:
    """Type into the terminal, have the step checked, and see it passed."""
    try:
        _works(place, page, name, note)
    finally:
        page.screenshot(path=PICTURES / f"{name}.png")


def _works(place: FrameLocator | Page, page: Page, name: str, note: str) -> None:
    expect(place.get_by_role("tab", name="box")).to_be_visible(timeout=90_000)
    terminal = place.frame_locator('iframe[title="box: Terminal"]')
    expect(terminal.locator(".xterm-rows")).to_contain_text("student@box", timeout=30_000)
    terminal.locator(".xterm-helper-textarea").focus()
    page.keyboard.type(note, delay=20)
    place.get_by_role("navigation", name="Pages").get_by_role("button").nth(1).click()
    place.get_by_role("button", name="Check", exact=True).first.click()
    expect(place.get_by_text("Passed.").first).to_be_visible(timeout=30_000)


def test_in_a_frame_of_another_site(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    page.on("console", lambda said: print("CONSOLE", said.text))
    page.on("requestfailed", lambda said: print("FAILED", said.url, said.failure))
    page.goto(f"{site.course}?frame=1")
    works(page.frame_locator("iframe").first, page, "frame", "hostname > ~/note.txt; echo done\n")
    (lab,) = site.home.json("list")
    assert (lab["template"], lab["state"]) == ("hello-lab", "running")
    assert page.title() == "Moodle"
    page.close()


def test_in_a_new_window_the_same_lab_is_found_and_what_can_be_done_with_it_is_done(
    context: BrowserContext, site: Site
) -> None:
    page = context.new_page()
    page.goto(site.course)
    with context.expect_page() as opened:
        page.get_by_role("link", name="Open").click()
    window = opened.value
    works(window, window, "window", "echo again\n")
    assert len(site.home.json("list")) == 1
    window.set_viewport_size({"width": 820, "height": 1180})  # a tablet
    expect(window.get_by_role("button", name="Check", exact=True).first).to_be_in_viewport()
    window.screenshot(path=PICTURES / "tablet.png")
    window.get_by_role("button", name="Ask for help").click()
    expect(window.get_by_role("button", name="take it back")).to_be_visible()
    window.get_by_role("button", name="Pause", exact=True).click()
    expect(window.get_by_role("button", name="Go on")).to_be_visible(timeout=30_000)
    window.get_by_role("button", name="Go on").click()
    expect(window.get_by_role("button", name="Pause", exact=True)).to_be_visible(timeout=30_000)
    window.get_by_text("More…").click()
    window.get_by_role("button", name="End the lab…").click()
    window.get_by_role("button", name="Yes").click()
    expect(window.get_by_role("button", name="Start the lab again")).to_be_visible(timeout=30_000)
    expect(window.get_by_text("This lab has stopped")).to_be_visible()
    assert site.home.json("list") == []
