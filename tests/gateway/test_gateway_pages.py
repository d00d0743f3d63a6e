"""The pane pages in a real browser, against the gateway and a peer that speaks the machines' protocols."""

from __future__ import annotations

import re

import pytest
from gateway_page import Open, embedded, says, shows
from gateway_peer import Peer, echo
from gateway_screen import Screen
from playwright.sync_api import expect
from websockets.asyncio.server import ServerConnection

from tests.support.gateway import Gateway, eventually

pytestmark = pytest.mark.e2e


def test_a_console_shows_what_the_machine_prints_and_sends_what_is_typed(open_pane: Open) -> None:
    page = open_pane("console")
    says(page, "Connected to m")
    shows(page, "peer console")
    page.locator(".xterm").click()
    page.keyboard.type("typed by hand")
    shows(page, "typed by hand")


def test_the_ticket_leaves_the_address_at_once(open_pane: Open) -> None:
    page = open_pane("console")
    says(page, "Connected")
    assert page.url.endswith("/panes/alab/m/console/")
    assert "ticket" not in str(page.evaluate("JSON.stringify([history.state, document.cookie, {...sessionStorage}])"))


def test_a_terminal_is_a_shell_as_large_as_its_pane(open_pane: Open) -> None:
    page = open_pane("terminal")
    says(page, "Connected to m")
    page.locator(".xterm").click()
    page.keyboard.type("echo $((6*7))0; stty size\n")
    shows(page, "420")
    rows = page.locator(".xterm-rows > div").count()
    shows(page, f"{rows} ")


def test_a_screen_is_drawn_and_takes_keys(open_pane: Open, screen: Screen) -> None:
    page = open_pane("vnc")
    says(page, "Connected to m")
    canvas = page.locator("canvas")
    expect(canvas).to_have_attribute("aria-label", re.compile("Screen of m"))
    canvas.click()
    page.keyboard.type("date")
    page.keyboard.press("Enter")
    eventually(lambda: (0xFF0D, True) in screen.keys)
    assert screen.typed == "date"
    colour = "c => [...c.getContext('2d').getImageData(5, 5, 1, 1).data.slice(0, 3)]"
    assert eventually(lambda: canvas.evaluate(colour) == [0x20, 0x80, 0xE0])


def test_ctrl_alt_del_has_a_button_and_so_has_releasing_the_keyboard(open_pane: Open, screen: Screen) -> None:
    page = open_pane("vnc")
    says(page, "Connected to m")
    page.get_by_role("button", name="Keys").click()
    page.get_by_role("button", name="Ctrl+Alt+Del").click()
    eventually(lambda: (0xFFFF, True) in screen.keys)
    page.locator("canvas").click()
    page.get_by_role("button", name="Release keyboard").click()
    expect(page.get_by_role("button", name="Paste…")).to_be_focused()


@pytest.mark.parametrize("pane", ["terminal", "vnc"])
def test_ctrl_shift_enter_leaves_the_machine_with_no_key_held_down(open_pane: Open, screen: Screen, pane: str) -> None:
    page = open_pane(pane)
    says(page, "Connected to m")
    page.locator("canvas" if pane == "vnc" else ".xterm").last.click()
    page.keyboard.press("Control+Shift+Enter")
    expect(page.get_by_role("button", name="Paste…")).to_be_focused()
    eventually(lambda: all((keysym, False) in screen.keys for keysym, _ in screen.keys))
    assert (0xFF0D, True) not in screen.keys


def test_the_embedding_page_types_into_the_machine(open_pane: Open, screen: Screen, gateway: Gateway) -> None:
    page = embedded(open_pane, gateway, "vnc", gateway.ticket())
    page.wait_for_function("window.heard.includes('connected')")
    page.evaluate("frames[0].postMessage({type: 'labkit:run', id: '1', text: 'echo \"Hi!\"'}, location.origin)")
    eventually(lambda: (0xFF0D, True) in screen.keys)
    assert screen.typed == 'echo "Hi!"'
    assert screen.keys.count((0xFFE1, True)) == screen.keys.count((0xFFE1, False)) == 4
    page.wait_for_function("window.heard.includes('labkit:done')")


def test_an_expired_ticket_is_replaced_by_one_from_the_embedding_page(open_pane: Open, gateway: Gateway) -> None:
    page = embedded(open_pane, gateway, "console", gateway.ticket(seconds=-5), gateway.ticket())
    page.wait_for_function("window.heard.includes('connected')")
    heard = page.evaluate("window.heard")
    assert heard.index("labkit:ready") < heard.index("labkit:ticket-wanted") < heard.index("connected")


@pytest.mark.parametrize(("ticket", "text"), [(None, "needs a ticket"), ("garbage", "not signed by this installation")])
def test_a_page_without_a_good_ticket_says_why(open_pane: Open, ticket: str | None, text: str) -> None:
    page = open_pane("console", ticket)
    says(page, text)
    assert page.locator("body").get_attribute("data-state") == "forbidden"


def test_a_machine_that_starts_is_waited_for(open_pane: Open, peer: Peer) -> None:
    peer.add_machine("alab", "m", "Scheduling")
    page = open_pane("console")
    says(page, "m is starting")
    peer.add_machine("alab", "m")
    says(page, "Connected to m")


def test_a_machine_that_stops_is_said_to_be_stopped(open_pane: Open, peer: Peer) -> None:
    page = open_pane("console")
    says(page, "Connected to m")
    del peer.machines["labkit-alab", "m"]
    for connection in tuple(peer.open):
        peer.cut(connection)
    says(page, "not running")
    assert page.locator("body").get_attribute("data-state") == "stopped"


def test_a_stream_that_is_cut_comes_back_with_what_was_printed_before(open_pane: Open, peer: Peer) -> None:
    page = open_pane("console")
    shows(page, "peer console")
    page.locator(".xterm").click()
    page.keyboard.type("before the cut")
    shows(page, "before the cut")
    peer.cut(peer.open[-1])
    shows(page, "before the cutpeer console")
    says(page, "Connected to m")


def test_a_screen_that_is_opened_elsewhere_says_so_and_does_not_fight(open_pane: Open, screen: Screen) -> None:
    first = open_pane("vnc")
    says(first, "Connected to m")
    second = open_pane("vnc")
    says(second, "Connected to m")
    says(first, "opened somewhere else")
    first.locator(".notice").get_by_role("button", name="Reconnect").click()
    says(first, "Connected to m")
    says(second, "opened somewhere else")


def test_a_stream_that_opens_and_ends_at_once_is_not_believed(open_pane: Open, peer: Peer) -> None:
    """A proxy in between accepts the browser's handshake before it has asked the gateway."""

    async def shut(connection: ServerConnection) -> None:
        return

    peer.streams["console"] = shut
    page = open_pane("console")
    says(page, "does not answer yet")
    peer.streams["console"] = echo
    says(page, "Connected to m")


def test_a_paused_machine_is_said_to_be_paused_when_its_terminal_is_asked_for_again(
    open_pane: Open, peer: Peer
) -> None:
    page = open_pane("terminal")
    says(page, "Connected to m")
    peer.machines["labkit-alab", "m"]["status"]["conditions"] = [{"type": "Paused", "status": "True"}]
    page.get_by_role("button", name="More").click()
    page.locator(".panel").get_by_role("button", name="Reconnect").click()
    says(page, "m is paused")
