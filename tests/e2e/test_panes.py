"""The panes of a real machine in windows of their own: typed into, resized, cut off, taken over, paused, stopped."""

from __future__ import annotations

import contextlib
import re
import select
import signal
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, LocatorAssertions, Page, expect

from tests.e2e.screen import TextScreen
from tests.support.engine import until
from tests.support.home import Home, new_home

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SOON = 20_000
SPECIAL = "a|b~c{\"d\"}[e]\\f`g^h@i$j&k*l?m<n>'o'_+=%#!:;,./- Z"


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """A running hello-lab, whose gateway comes back on the same port."""
    found = new_home()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        config = found.folder / ".config/labkit/config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(f"gateway_port = {probe.getsockname()[1]}\n")
    started = found.labkit("start", "hello-lab")
    assert started.returncode == 0, started.stderr
    yield found
    found.end()


@pytest.fixture(scope="module")
def pages(home: Home, browser: Browser) -> Iterator[dict[str, Page]]:
    """Each pane in a window of its own, as `labkit open` links to it, in one learner's browser."""
    context = browser.new_context(viewport={"width": 900, "height": 600})
    context.set_default_timeout(SOON)
    found = {}
    for link in home.json("open", "hello-lab", "--print"):
        found[link["pane"]] = context.new_page()
        found[link["pane"]].goto(link["url"])
        says(found[link["pane"]], "Connected")
    yield found
    context.close()


def says(page: Page, text: str) -> None:
    expect(page.locator(".status")).to_contain_text(text, timeout=SOON)


def rows(page: Page) -> LocatorAssertions:
    return expect(page.locator(".xterm-rows"))


def paste(page: Page, text: str) -> None:
    page.get_by_role("button", name="Paste…").click()
    page.get_by_role("textbox", name="Text").fill(text)
    page.get_by_role("button", name="Type it").click()
    expect(page.get_by_role("dialog")).to_be_hidden(timeout=SOON)


def types(page: Page, text: str) -> None:
    page.locator(".xterm-helper-textarea").focus()
    page.keyboard.type(text)


def choose(page: Page, label: str, value: str) -> None:
    page.get_by_role("button", name="More").click()
    page.get_by_label(label).select_option(value)
    page.keyboard.press("Escape")


def password(home: Home) -> str:
    found = re.search(r"as student with password (\S+)", home.labkit("status", "hello-lab").stdout)
    assert found
    return found[1]


def test_text_is_typed_into_a_screen_from_its_login_on(home: Home, pages: dict[str, Page]) -> None:
    screen = TextScreen(pages["vnc"].main_frame)
    screen.wait(lambda cells: sum(any(any(cell) for cell in row) for row in cells) >= 2)
    for text in ("student\n", password(home) + "\n"):
        used = screen.used_rows()
        paste(pages["vnc"], text)
        screen.wait_for_more_rows(used)
    paste(pages["vnc"], f"cat > typed\n{SPECIAL}\n")
    pages["vnc"].keyboard.press("Control+d")
    types(pages["terminal"], "until grep Z typed; do sleep 1; done\n")
    rows(pages["terminal"]).to_contain_text(SPECIAL)


@pytest.mark.slow
def test_keys_can_send_their_characters_where_the_keyboards_differ(pages: dict[str, Page]) -> None:
    canvas = pages["vnc"].locator("canvas")
    press = "(c, t) => c.dispatchEvent(new KeyboardEvent(t, {key: 'z', code: 'KeyY', bubbles: true, cancelable: true}))"
    for words in ("positions", "characters"):
        choose(pages["vnc"], "My keys send", words)
        paste(pages["vnc"], "echo read-")
        for event in ("keydown", "keyup"):
            canvas.evaluate(press, event)
        paste(pages["vnc"], " >> letters\n")
    types(pages["terminal"], "clear; until grep -c read letters | grep 2; do sleep 1; done; cat letters\n")
    rows(pages["terminal"]).to_contain_text(re.compile("read-y.*read-z"))


def test_a_terminal_is_as_large_as_its_window(pages: dict[str, Page]) -> None:
    sizes = []
    for width in (900, 600):
        pages["terminal"].set_viewport_size({"width": width, "height": 500})
        screen = pages["terminal"].locator(".xterm-screen")
        until(lambda: screen.evaluate("drawn => drawn.clientWidth") <= width)  # noqa: B023  (called at once)
        types(pages["terminal"], f"clear; echo at-$(({width}-1)): $(stty size).\n")
        rows(pages["terminal"]).to_contain_text(re.compile(rf"at-{width - 1}: \d+ \d+\."))
        sizes.append(re.findall(r": (\d+) (\d+)\.", pages["terminal"].locator(".xterm-rows").inner_text())[-1])
    assert int(sizes[1][1]) < int(sizes[0][1])
    assert pages["terminal"].locator(".xterm-rows > div").count() == int(sizes[1][0])


def test_files_go_up_and_down(pages: dict[str, Page], pictures: Path) -> None:
    page = pages["terminal"]
    page.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Files").click()
    content = b"from the browser\n" * 20_000
    note = {"name": "note.txt", "mimeType": "text/plain", "buffer": content}
    page.locator("input[type=file]").set_input_files(files=[note])  # type: ignore[list-item]
    with page.expect_download(timeout=SOON) as download:
        page.get_by_role("button", name="note.txt").click()
    assert download.value.path().read_bytes() == content
    page.screenshot(path=pictures / "pane-files.png")
    page.keyboard.press("Escape")
    types(page, "clear; wc -c note.txt\n")
    rows(page).to_contain_text(f"{len(content)} note.txt")


def test_panes_come_back_when_the_gateway_was_killed_and_keep_what_was_printed(
    home: Home, pages: dict[str, Page]
) -> None:
    types(pages["terminal"], "clear; echo before-$((40+2))\n")
    rows(pages["terminal"]).to_contain_text("before-42")
    (gateway,) = home.processes("labkit.cli gateway")
    with contextlib.ExitStack() as streams:
        for page in pages.values():
            streams.enter_context(page.expect_websocket(timeout=SOON))
        gateway.send_signal(signal.SIGKILL)
    for page in pages.values():
        says(page, "Connected")
    rows(pages["terminal"]).to_contain_text("before-42")
    types(pages["terminal"], "echo after-$((40+3))\n")
    rows(pages["terminal"]).to_contain_text("after-43")


def test_a_new_window_takes_the_screen_over_and_its_address_is_worth_nothing(pages: dict[str, Page]) -> None:
    first = pages["vnc"]
    first.get_by_role("button", name="More").click()
    with first.expect_popup() as popup:
        first.get_by_role("button", name="New window").click()
    says(popup.value, "Connected to box")
    assert "#" not in popup.value.url
    says(first, "opened somewhere else")
    first.locator(".notice").get_by_role("button", name="Reconnect").click()
    says(first, "Connected to box")
    says(popup.value, "opened somewhere else")
    popup.value.close()


@pytest.mark.slow
def test_only_looking_sends_nothing(pages: dict[str, Page]) -> None:
    page = pages["terminal"]
    choose(page, "Keyboard and mouse", "off")
    types(page, "echo unwanted\n")
    page.get_by_role("button", name="Paste…").click()
    says(page, "for watching only")
    choose(page, "Keyboard and mouse", "on")
    types(page, "echo wan''ted\n")
    rows(page).to_contain_text("wanted")
    assert "unwanted" not in page.locator(".xterm-rows").inner_text()


class ImpatientProxy(socketserver.BaseRequestHandler):
    """Passes bytes on and cuts a connection on which none came for 40 s; labkit promises to survive 60."""

    target = 0
    cut = 0

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", type(self).target)) as other:
            ways = {self.request: other, other: self.request}
            while ready := select.select(list(ways), [], [], 40)[0]:
                for one in ready:
                    if not (data := one.recv(65536)):
                        return
                    ways[one].sendall(data)
            type(self).cut += 1


@pytest.mark.slow
def test_panes_live_on_behind_a_proxy_that_cuts_what_is_silent(
    home: Home, browser: Browser, pages: dict[str, Page]
) -> None:
    links = home.json("open", "hello-lab", "--print")
    ImpatientProxy.target = int(re.findall(r":(\d+)/", links[0]["url"])[0])
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), ImpatientProxy) as proxy:
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever).start()
        context = browser.new_context()
        behind = [context.new_page() for _ in links]
        sockets: list[object] = []
        for page, link in zip(behind, links, strict=True):
            page.on("websocket", lambda one: sockets.append(one))
            page.goto(re.sub(r":\d+/", f":{proxy.server_address[1]}/", link["url"]))
            says(page, "Connected")
        opened = len(sockets)
        behind[0].wait_for_timeout(90_000)
        for page in behind:
            says(page, "Connected")
        assert len(sockets) == opened, "no stream was opened again"
        context.close()
        proxy.shutdown()
    for pane in ("console", "vnc"):  # which the windows above took over
        pages[pane].locator(".notice").get_by_role("button", name="Reconnect").click()


@pytest.mark.slow
def test_a_pause_is_seen_when_a_key_is_not_answered_and_so_is_its_end(home: Home, pages: dict[str, Page]) -> None:
    types(pages["console"], "\n")
    rows(pages["console"]).to_contain_text("login:")
    assert home.labkit("pause", "hello-lab").returncode == 0
    types(pages["console"], "\n")
    says(pages["console"], "box is paused")
    assert home.labkit("resume", "hello-lab").returncode == 0
    says(pages["console"], "Connected to box")


def test_the_end_of_the_lab_is_said(home: Home, pages: dict[str, Page]) -> None:
    assert home.labkit("stop", "hello-lab").returncode == 0
    for page in pages.values():
        expect(page.locator("body")).to_have_attribute("data-state", "stopped", timeout=SOON)
