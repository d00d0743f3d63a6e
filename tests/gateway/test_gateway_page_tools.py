"""What a pane's page offers beside the pane: pasting, searching, choices, windows, watching, machines' own pages."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gateway_page import Open, embedded, says, shows
from gateway_peer import Peer
from gateway_screen import Screen
from gateway_site import running_site
from playwright.sync_api import Page, expect

from tests.support.gateway import Gateway, eventually

pytestmark = pytest.mark.e2e
AXE = Path(__file__).parents[2] / "labextension" / "node_modules" / "axe-core" / "axe.min.js"


def paste(page: Page, text: str, button: str = "Type it") -> None:
    page.get_by_role("button", name="Paste…").click()
    page.get_by_role("textbox", name="Text").fill(text)
    page.get_by_role("button", name=button).click()


def choose(page: Page, label: str, value: str) -> None:
    page.get_by_role("button", name="More").click()
    page.get_by_label(label).select_option(value)
    page.keyboard.press("Escape")


def serious(page: Page) -> list[str]:
    """What axe-core finds that would keep somebody out."""
    page.evaluate(f"() => {{ {AXE.read_text()} }}")
    found = page.evaluate("async () => (await axe.run({iframes: false})).violations")
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]


def test_what_cannot_be_typed_is_told_before_and_typing_can_be_stopped(open_pane: Open, screen: Screen) -> None:
    page = open_pane("vnc")
    says(page, "Connected to m")
    page.get_by_role("button", name="Paste…").click()
    page.get_by_role("textbox", name="Text").fill("aü" + "b" * 400)
    expect(
        page.get_by_text("401 key presses, about 11 s. Left out, since a US keyboard has no key for it: ü")
    ).to_be_visible()
    page.get_by_role("button", name="Type it").click()
    expect(page.get_by_text("of 401")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    eventually(lambda: screen.typed.startswith("ab"))
    paste(page, "cc")
    eventually(lambda: screen.typed.endswith("cc"))
    assert len(screen.typed) < 300


def test_text_goes_to_a_shell_in_brackets_where_it_asks_for_them(open_pane: Open) -> None:
    page = open_pane("terminal")
    says(page, "Connected to m")
    page.locator(".xterm-helper-textarea").focus()
    page.keyboard.type("printf '\\033[?2004hready\\n'; cat -v\n")
    shows(page, "ready")
    paste(page, "one\ntwo")
    shows(page, "^[[200~one")
    shows(page, "two^[[201~")


def test_a_machines_clipboard_is_copied_and_filled_where_it_shares_one(open_pane: Open, screen: Screen) -> None:
    page = open_pane("vnc")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    says(page, "Connected to m")
    page.get_by_role("button", name="Paste…").click()
    expect(page.get_by_role("button", name="Put on its clipboard")).to_be_hidden()
    page.keyboard.press("Escape")
    asyncio.run_coroutine_threadsafe(screen.copy("from the machine"), screen.open[-1].loop).result(5)
    says(page, "put text on its clipboard")
    page.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Copy its clipboard").click()
    says(page, "Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == "from the machine"
    paste(page, "to the machine", "Put on its clipboard")
    eventually(lambda: screen.clipboard == "to the machine")


def test_what_was_printed_is_searched(open_pane: Open) -> None:
    page = open_pane("terminal")
    says(page, "Connected to m")
    page.locator(".xterm-helper-textarea").focus()
    page.keyboard.type("echo needle\n")
    shows(page, "needle")
    page.keyboard.press("Control+Shift+F")
    page.keyboard.type("needle")
    expect(page.get_by_text("of 2")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".xterm-helper-textarea")).to_be_focused()


def test_choices_are_remembered_but_for_only_looking(open_pane: Open, screen: Screen) -> None:
    page = open_pane("terminal")
    says(page, "Connected to m")
    for label, value in (("Colours", "light"), ("Text size", "22"), ("Keyboard and mouse", "off")):
        choose(page, label, value)
    later = open_pane("terminal")
    says(later, "Connected to m")
    expect(later.locator("main")).to_have_attribute("data-look", "light")
    expect(later.get_by_label("Text size")).to_have_value("22")
    expect(later.get_by_label("Keyboard and mouse")).to_have_value("on")


def test_a_page_that_may_store_nothing_works_all_the_same(open_pane: Open, gateway: Gateway) -> None:
    page = open_pane("nothing")
    forbidden = "{ get() { throw new DOMException('no', 'SecurityError') } }"
    page.add_init_script(f"Object.defineProperty(window, 'localStorage', {forbidden})")
    page.goto(f"http://127.0.0.1:{gateway.port}/panes/alab/m/console/#ticket={gateway.ticket()}")
    says(page, "Connected to m")
    choose(page, "Colours", "light")
    expect(page.locator("main")).to_have_attribute("data-look", "light")


def test_a_screen_only_looked_at_gets_no_key(open_pane: Open, screen: Screen) -> None:
    page = open_pane("vnc")
    says(page, "Connected to m")
    choose(page, "Keyboard and mouse", "off")
    page.locator("canvas").click()
    page.keyboard.type("unwanted")
    choose(page, "Keyboard and mouse", "on")
    page.locator("canvas").click()
    page.keyboard.type("wanted")
    eventually(lambda: screen.typed == "wanted")


def test_who_may_only_watch_sees_pictures_of_the_screen(open_pane: Open, gateway: Gateway, screen: Screen) -> None:
    page = open_pane("vnc", gateway.ticket(mode="view"))
    says(page, "Watching m")
    picture = page.get_by_role("img", name="Screen of m")
    eventually(lambda: picture.evaluate("image => image.naturalWidth > 0"))
    assert screen.open == []
    expect(page.get_by_role("button", name="Paste…")).to_have_count(0)


def test_what_is_typed_elsewhere_is_watched_and_the_watchers_own_keys_go_nowhere(
    open_pane: Open, gateway: Gateway
) -> None:
    watcher = open_pane("console", gateway.ticket(mode="view"))
    says(watcher, "Nobody has this pane open")
    learner = open_pane("console")
    says(learner, "Connected to m")
    says(watcher, "Watching m")
    learner.locator(".xterm-helper-textarea").focus()
    learner.keyboard.type("seen by both")
    shows(watcher, "seen by both")
    watcher.locator(".xterm-helper-textarea").focus()
    watcher.keyboard.type("lost")
    learner.keyboard.type(" and on")
    shows(learner, "seen by both and on")


def test_orders_are_refused_with_a_reason(open_pane: Open, gateway: Gateway, screen: Screen) -> None:
    page = embedded(open_pane, gateway, "vnc", gateway.ticket())
    page.wait_for_function("window.heard.includes('connected')")
    page.evaluate("""() => new Promise((done) => {
      addEventListener('message', (e) => { if (e.data.type === 'labkit:refused') done(window.refused = e.data); });
      frames[0].postMessage({type: 'labkit:type', id: '7', text: 'grüße'}, location.origin); })""")
    assert page.evaluate("[refused.id, refused.reason]") == ["7", "untypable"]
    assert screen.keys == []


def test_a_page_of_another_origin_orders_nothing(open_pane: Open, gateway: Gateway, screen: Screen) -> None:
    page = open_pane("vnc")
    says(page, "Connected to m")
    order = "{type: 'labkit:type', id: '1', text: 'x'}"
    page.evaluate(f"window.postMessage({order}, '*')")
    with page.expect_popup() as popup:
        page.evaluate("url => void window.open(url)", f"http://localhost:{gateway.port}/livez")
    popup.value.evaluate(f"window.opener.postMessage({order}, '*')")
    page.locator("canvas").click()
    page.keyboard.type("y")
    eventually(lambda: screen.typed == "y")


def test_a_machines_page_is_shown_on_an_origin_of_its_own(open_pane: Open, peer: Peer) -> None:
    with running_site() as site:
        peer.add_machine("alab", "m", site=site.server_port)
        page = open_pane("site")
        says(page, "Connected to m")
        expect(page.frame_locator("iframe").get_by_role("heading")).to_have_text("The machine's page")
        assert page.frames[1].evaluate("location.hostname").endswith(".localhost")


@pytest.mark.parametrize(("pane", "scheme"), [("vnc", "light"), ("terminal", "dark")])
def test_a_page_has_no_serious_fault_for_those_who_do_not_see_it(
    open_pane: Open, screen: Screen, pane: str, scheme: str
) -> None:
    page = open_pane(pane)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    says(page, "Connected to m")
    page.get_by_role("button", name="More").click()
    assert serious(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Paste…").click()
    assert serious(page) == []
