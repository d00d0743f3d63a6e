"""Requests to learning platforms: only to addresses that the platform owns, small, quick, and without redirects.

An address is a platform's own where its origin is that of its issuer or of one of its registered addresses, or where
the operator has listed it. What a message says is never enough: an activity's settings can put any address into it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from labkit.errors import LabkitError
from labkit.store import Platform

_QUIET_SECONDS = 5.0
"""For how long a platform may say nothing."""
WHOLE_SECONDS = 10.0
"""How long a whole answer may take."""
_MOST_BYTES = 2**20
_PORTS = {"https": 443, "http": 80}


class OutboundRefused(LabkitError):
    """A request that was not made, or whose answer was not taken. The text names an origin, never a query."""


class Unreachable(OutboundRefused):
    """No whole answer came: another try may have more luck."""


@dataclass(frozen=True)
class Answer:
    """A platform's answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def origin_of(url: str) -> str:
    """Scheme, host and port, as browsers write it: in lower case, without the scheme's own port. Empty where `url` has
    none, or is neither http nor https."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in _PORTS or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, _PORTS[parts.scheme]) else "")


@lru_cache(maxsize=64)
def origins_of(platform: Platform) -> frozenset[str]:
    """Where a platform's services may be."""
    urls = (platform.issuer, platform.auth_url, platform.token_url, platform.jwks_url, *platform.origins)
    return frozenset(filter(None, map(origin_of, urls)))


def owns(platform: Platform, url: str) -> bool:
    """Whether an address is the platform's."""
    parts = urlsplit(url) if origin_of(url) else None
    return parts is not None and parts.username is None and origin_of(url) in origins_of(platform)


def fetch(
    platform: Platform,
    url: str,
    *,
    private: bool,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    data: Any = None,
    seconds: float = WHOLE_SECONDS,
) -> Answer:
    """One request to a platform; a redirect is an answer like any other, and followed by nobody.

    `private`: it may be in this machine or a private network. `seconds`: how long the answer may take, but for the
    headers, of which each piece may take so long. Raises OutboundRefused.
    """
    origin = origin_of(url)
    if not owns(platform, url):
        raise OutboundRefused(f"{origin or 'an address without a host'} is not {platform.name}'s: nothing was sent")
    addresses = [] if private else open_addresses(url, private=False)
    deadline = time.monotonic() + seconds
    try:
        with requests.Session() as session:
            session.trust_env = False  # no credentials of ~/.netrc, no proxy
            session.verify = _authorities()
            if addresses:
                url = pin(session, url, answering(addresses, urlsplit(url).port or _PORTS["https"]))
            quiet = min(_QUIET_SECONDS, seconds)
            answer = session.request(
                method, url, headers=headers, data=data, timeout=quiet, allow_redirects=False, stream=True
            )
            return Answer(answer.status_code, answer.headers, _body(answer, origin, deadline))
    except requests.RequestException as error:
        raise Unreachable(f"{origin} does not answer ({type(error).__name__})") from error


def _body(answer: requests.Response, origin: str, deadline: float) -> bytes:
    body = bytearray()
    # One read waits for as much as it wants: what comes byte by byte would hold it for hours.
    watch = threading.Timer(deadline - time.monotonic(), _cut, [answer])
    watch.start()
    try:
        for piece in answer.iter_content(16384):
            body += piece
            if len(body) > _MOST_BYTES:
                raise OutboundRefused(f"{origin} answers with more than {_MOST_BYTES} bytes")
    finally:
        watch.cancel()
    if time.monotonic() > deadline:
        raise Unreachable(f"{origin} takes too long to answer")
    return bytes(body)


def _cut(answer: requests.Response) -> None:
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # it has just ended by itself
        answer.raw.shutdown()


def _authorities() -> str | bool:
    """Who vouches for a platform: those whom this computer trusts (Python's default, so SSL_CERT_FILE is heeded, and a
    university's own authority that was added to it). Where it has none, the ones that `requests` comes with."""
    paths = ssl.get_default_verify_paths()
    folder = paths.capath if paths.capath and os.listdir(paths.capath) else None
    return paths.cafile or folder or True


def answering(addresses: Sequence[str], port: int) -> str:
    """The first address at which somebody answers; the last where nobody does, so that the request says so."""
    for address in addresses[:-1]:
        try:
            socket.create_connection((address, port), timeout=_QUIET_SECONDS).close()
        except OSError:
            continue
        return address
    return addresses[-1]


class _Pinned(HTTPAdapter):
    """Connects to the address in the URL, and asks for another name there: in TLS, and in what the certificate says."""

    def __init__(self, name: str) -> None:
        self._name = name
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, server_hostname=self._name, assert_hostname=self._name)


def pin(session: requests.Session, url: str, address: str) -> str:
    """The URL by which a session reaches `url` at this address, and at none that its name leads to by then."""
    parts = urlsplit(str(requests.Request("GET", url).prepare().url))  # a name in other letters, as it is sent
    session.mount("https://", _Pinned(str(parts.hostname)))
    session.headers["Host"] = parts.netloc
    host = f"[{address}]" if ":" in address else address
    return parts._replace(netloc=f"{host}:{parts.port or _PORTS['https']}").geturl()


def open_addresses(url: str, *, private: bool, setting: str = "LABKIT_PRIVATE_PLATFORMS") -> list[str]:
    """Where a URL's host is. Unless `private` is said, raises OutboundRefused for what is not https, or not wholly on
    the open network, and names the operator's `setting` for that; raises Unreachable where its name is not known."""
    origin, known = origin_of(url), f"those who run labkit can allow that: {setting}"
    if not private and not origin.startswith("https:"):
        raise OutboundRefused(f"{origin or url} is not https; {known}")
    parts = urlsplit(origin)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or _PORTS["https"], type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"the name of {origin or url} is not known") from error
    addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
    if not private and not all(ipaddress.ip_address(address.split("%")[0]).is_global for address in addresses):
        raise OutboundRefused(f"{origin} is in a private network; {known}")
    return addresses
