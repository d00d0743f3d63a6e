"""A machine's page that attacks what is around it, in a real browser with real origins: it gets nothing."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from gateway_peer import Peer
from gateway_site import running_site
from playwright.sync_api import Browser, Page, expect

from tests.support.gateway import Gateway, eventually

pytestmark = pytest.mark.e2e

VISIT = """async ([pane, ticket]) => {
  const headers = {"Labkit-Request": "1", "Labkit-Ticket": ticket};
  const answer = await (await fetch(`${pane}/visit`, {method: "POST", headers})).json();
  const frame = document.createElement("iframe");
  frame.name = pane.split("/")[3]; frame.src = answer.url; document.body.append(frame);
  return answer.url; }"""


def visited(page: Page, gateway: Gateway, machine: str) -> str:
    """The machine's page in a frame of labkit's page, as the pane's page shows it: its origin."""
    url = page.evaluate(VISIT, [f"/panes/alab/{machine}/site", gateway.ticket()])
    expect(page.frame_locator(f"iframe[name={machine}]").locator("h1")).to_have_text("The machine's page")
    return str(url).partition("/.labkit")[0]


def test_a_hostile_page_reads_no_page_no_cookie_and_no_other_pane(
    browser: Browser, gateway: Gateway, peer: Peer
) -> None:
    with running_site() as site, browser.new_context() as context:
        for machine in ("m", "n"):
            peer.add_machine("alab", machine, site=site.server_port)
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{gateway.port}/panes/alab/m/console/")
        page.evaluate("document.cookie = 'jupyter=secret'; localStorage.labkit = 'secret'")
        own, other = visited(page, gateway, "m"), visited(page, gateway, "n")
        aims = {"labkit": f"http://127.0.0.1:{gateway.port}/livez", "other": f"{other}/secret"}
        frame = page.frame(name="m")
        assert frame is not None
        frame.goto(f"{own}/hostile?{urlencode({**aims, 'socket': other.replace('http', 'ws') + '/ws'})}")
        loot: dict[str, Any] = eventually(lambda: site.loot, 20)
        refused = dict.fromkeys(("storage", "parent", "top", "labkit", "other", "socket"), "refused")
        assert loot == {"cookie": "", "change": "sent", **refused}
        assert not [path for _, path, _, _ in site.asked if path in ("/secret", "/ws")]
