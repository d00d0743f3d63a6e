"""What tests of pane pages in a browser share."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support.gateway import Gateway

Open = Callable[..., Page]
"""Opens a pane's page by the pane's name; see conftest.py."""


def says(page: Page, text: str) -> None:
    expect(page.locator(".status")).to_contain_text(text, timeout=15_000)


def shows(page: Page, text: str) -> None:
    """What the terminal has drawn, with its lines joined."""
    expect(page.locator(".xterm-rows")).to_contain_text(text, timeout=15_000)


def embedded(open_pane: Open, gateway: Gateway, pane: str, ticket: str, fresh: str = "") -> Page:
    """A page of the same origin with the pane in a frame, that gives `fresh` when a ticket is wanted."""
    page = open_pane("nothing")
    html = f"""<script>window.heard = []; onmessage = (e) => {{
      heard.push(e.data.state ?? e.data.type);
      if (e.data.type === 'labkit:ticket-wanted' && {fresh!r})
        e.source.postMessage({{type: 'labkit:ticket', ticket: {fresh!r}}}, location.origin); }}</script>
      <iframe src="/panes/alab/m/{pane}/#ticket={ticket}" width="700" height="400"></iframe>"""
    page.route("**/embedding", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto(f"http://127.0.0.1:{gateway.port}/embedding")
    return page
