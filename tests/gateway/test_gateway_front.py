"""What the gateway passes to the web application behind it, and what it tells it of the outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from labkit.gateway.access import check_host
from labkit.gateway.front import Front
from labkit.gateway.http import Request
from labkit.gateway.machines import Denied

PUBLIC = "https://hub.test/x/labkit"


async def _body() -> AsyncIterator[bytes]:
    yield b"a=1"


def request(path: str, *fields: tuple[str, str], body: bool = False) -> Request:
    sent = (("Host", "hub.test"), *fields, *([("Content-Length", "3")] if body else []))
    headers = {name.lower(): value for name, value in sent}
    return Request("POST" if body else "GET", path, headers, True, f"{path}?q=1", sent, _body() if body else None)


def passed(folder: Path, asked: Request, answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi") -> str:
    """What an application at the socket reads of a request, and then what comes back."""

    async def run() -> str:
        heard: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            if b"Content-Length: 3" in heard[0]:
                heard.append(await reader.readexactly(3))
            writer.write(answer)
            await writer.drain()
            writer.close()

        server = await asyncio.start_unix_server(serve, folder / "web.sock")
        async with server:
            front = Front(folder / "web.sock", PUBLIC)
            found = await front.answer(front.within(asked))
            pieces = b"".join([piece async for piece in found.pieces])
        return b"".join(heard).decode() + f"\n{found.status} {found.headers} {pieces.decode()}"

    return asyncio.run(run())


def test_a_request_is_passed_whole_below_its_prefix_and_its_answer_comes_back(tmp_path: Path) -> None:
    said = passed(tmp_path, request("/x/labkit/api/v1/me", ("Cookie", "a=b"), body=True))
    assert said.startswith("POST /api/v1/me?q=1 HTTP/1.1\r\n")
    assert all(word in said for word in ("Cookie: a=b", "X-Forwarded-Prefix: /x/labkit", "\r\n\r\na=1", "200", "hi"))


def test_the_application_is_told_of_the_outside_by_the_settings_and_the_proxy_in_front_alone(tmp_path: Path) -> None:
    lies = (("X-Forwarded-For", "6.6.6.6, 192.0.2.7"), ("X-Forwarded-Host", "evil.test"), ("Forwarded", "for=6.6.6.6"))
    said = passed(tmp_path, request("/y", *lies, ("Connection", "x-secret"), ("X-Secret", "1")))
    assert all(f"X-Forwarded-{word}" in said for word in ("For: 192.0.2.7", "Host: hub.test", "Proto: https"))
    assert not any(word in said for word in ("6.6.6.6", "evil", "X-Secret"))


@pytest.mark.parametrize("path", ["/x/labkit", "/x/labkitten/a", "/other"])
def test_what_is_not_below_the_prefix_is_passed_as_it_is(path: str) -> None:
    asked = request(path)
    assert Front(Path("none"), PUBLIC).within(asked) is asked


def test_an_application_that_is_away_or_talks_nonsense_is_told_of_in_words(tmp_path: Path) -> None:
    with pytest.raises(Denied, match="does not answer"):
        asyncio.run(Front(tmp_path / "none.sock", "").answer(request("/")))
    with pytest.raises(Denied, match="does not answer"):
        passed(tmp_path, request("/"), answer=b"no HTTP\r\n\r\n")


@pytest.mark.parametrize(("host", "good"), [("hub.test:8443", True), ("HUB.test", True), ("evil.test", False)])
def test_on_the_loopback_port_the_public_name_is_answered_and_no_other(host: str, good: bool) -> None:
    if good:
        check_host(host, "hub.test")
    else:
        with pytest.raises(Denied, match="localhost"):
            check_host(host, "hub.test")
    with pytest.raises(Denied, match="localhost"):
        check_host(host)
