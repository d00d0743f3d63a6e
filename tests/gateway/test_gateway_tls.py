"""The gateway behind a reverse proxy with TLS, as an installation without Jupyter has it: labkit under one name, each
machine's page under a name of a domain that is used for nothing else. Seen in Chromium, through nginx."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_certificate import certificate
from gateway_page import shows
from gateway_peer import Peer
from gateway_site import running_site
from playwright.sync_api import Browser, Page, expect

from tests.support.gateway import Gateway, eventually, gateway_process

pytestmark = pytest.mark.e2e
NGINX = """user root; daemon off; worker_processes 1; error_log {folder}/error.log; pid {folder}/nginx.pid; events {{}}
http {{ access_log off; proxy_temp_path {folder}/p; client_body_temp_path {folder}/b; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
  server {{ listen 127.0.0.1:{port} ssl; server_name labkit.localhost *.panes.localhost;
    ssl_certificate {folder}/certificate; ssl_certificate_key {folder}/key;
    location / {{ proxy_pass http://unix:{socket}; proxy_http_version 1.1; proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }} }} }}
"""
"""What the how-to says, on one machine. `user` matters to root alone: `nobody` could not open a private socket."""


@pytest.fixture
def port() -> int:
    """The proxy's port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found = int(probe.getsockname()[1])
    return found


@pytest.fixture
def gateway(tmp_path: Path, peer: Peer, port: int) -> Iterator[Gateway]:
    """A gateway that was told its machines' domain, behind the proxy."""
    environ = {"LABKIT_PANES_ORIGIN": f"https://*.panes.localhost:{port}"}
    certificate(tmp_path, "labkit.localhost")
    with gateway_process(tmp_path, peer.kubeconfig(tmp_path / "kubeconfig"), environ=environ) as found:
        (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port, socket=found.socket))
        proxy = subprocess.Popen(["nginx", "-e", tmp_path / "error.log", "-c", tmp_path / "nginx.conf"])
        eventually(lambda: (tmp_path / "nginx.pid").exists())
        yield found
        proxy.terminate()
        proxy.wait(10)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(ignore_https_errors=True) as context:
        yield context.new_page()


def test_a_console_works_and_a_machines_page_has_an_origin_of_its_own(
    gateway: Gateway, peer: Peer, port: int, page: Page
) -> None:
    panes = f"https://labkit.localhost:{port}/panes/alab/m"
    page.goto(f"{panes}/console/#ticket={gateway.ticket()}")
    shows(page, "peer console")
    page.locator(".xterm-helper-textarea").focus()
    page.keyboard.type("through TLS")
    shows(page, "through TLS")
    with running_site() as site:
        peer.add_machine("alab", "m", site=site.server_port)
        page.goto(f"{panes}/site/#ticket={gateway.ticket()}")
        expect(page.frame_locator("iframe").get_by_role("heading")).to_have_text("The machine's page")
        frame, (_, _, headers, _) = page.frames[1], site.asked[0]
        assert re.fullmatch(rf"https://alab-[0-9a-f]+\.panes\.localhost:{port}", frame.evaluate("location.origin"))
        assert (headers["X-Forwarded-Proto"], headers.get("Cookie")) == ("https", None)
        assert frame.evaluate("document.cookie") == ""
