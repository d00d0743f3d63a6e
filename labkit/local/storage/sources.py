"""Where disk images come from: web servers and registries. Only http and https, and nothing on this computer."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from labkit.local.files import make_private
from labkit.local.network.names import METADATA
from labkit.local.storage.disks import DiskError, run

_METADATA = (*METADATA, "fd00:ec2::254")
_TIMEOUTS = aiohttp.ClientTimeout(total=6 * 3600, sock_connect=20, sock_read=60)
_REDIRECTS = 5
_CHUNK = 2**20
_LONGEST_LIST = 2**22
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
Tell = Callable[[float], None]
"""Told how many hundredths have come."""


class Later(Exception):
    """What cannot be done now but may pass: Kubernetes' word for it as ``reason``, one sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def is_local(address: str) -> bool:
    """Whether an address is this computer's own, its link's, or a cloud's metadata service."""
    own = {item.address.partition("%")[0] for items in psutil.net_if_addrs().values() for item in items}
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    unfit = found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast
    return unfit or str(found) in (*_METADATA, *own)


def _refusal(address: str) -> str:
    return f"images are not imported from {address}: the engine allows that with --import-from-anywhere only"


async def download(url: str, target: Path, largest: int, checksum: str, anywhere: bool, tell: Tell) -> None:
    """The file behind a URL, of up to ``largest`` bytes. Raises DiskError or Later."""
    refused: list[str] = []

    def guarded(info: Any) -> socket.socket:
        """A socket; its address is known here, after every look-up and redirect."""
        if is_local(info[4][0]) and not anywhere:
            refused.append(info[4][0])
            raise PermissionError(_refusal(info[4][0]))
        return socket.socket(*info[:3])

    connector = aiohttp.TCPConnector(socket_factory=guarded)
    session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUTS, auto_decompress=False)
    try:
        async with (
            session,
            session.get(url, max_redirects=_REDIRECTS, headers={"Accept-Encoding": "identity"}) as found,
        ):
            if found.status in _AGAIN:
                raise Later("Error", f"{url}: the server answered {found.status} {found.reason}")
            if found.status != 200:
                raise DiskError(f"{url}: the server answered {found.status} {found.reason}")
            await _receive(found, target, largest, checksum, tell)
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, aiohttp.TooManyRedirects, UnicodeError) as error:
        # UnicodeError: a label of the host's name is empty or too long.
        raise DiskError(f"{url}: it leads to no image ({type(error).__name__})") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        if refused:
            raise DiskError(f"{url}: {_refusal(refused[0])}") from error
        raise Later("Error", f"{url}: {error or 'the server is silent'}") from error


async def _receive(found: aiohttp.ClientResponse, target: Path, largest: int, checksum: str, tell: Tell) -> None:
    method, _, wanted = checksum.lower().partition(":")
    digest = hashlib.new(method or "sha256", usedforsecurity=False)
    had = 0
    with target.open("wb") as file:
        async for chunk in found.content.iter_chunked(_CHUNK):
            had += len(chunk)
            if max(had, found.content_length or 0) > largest:
                raise DiskError(f"{found.url}: it is larger than the {largest // 2**20} MiB that it may have")
            await asyncio.to_thread(digest.update, chunk)
            await asyncio.to_thread(file.write, chunk)
            if found.content_length:
                tell(100 * had / found.content_length)
    if wanted and digest.hexdigest() != wanted:
        raise DiskError(f"{found.url}: its {method} is {digest.hexdigest()}, not {wanted}")


async def pull(url: str, target: Path, largest: int, anywhere: bool) -> None:
    """The disk of a container image (``docker://HOST/NAME``), taken out of its layers. Raises DiskError or Later."""
    host = url.removeprefix("docker://").partition("/")[0]
    name, _, port = host.partition(":")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Later("Error", f"{url}: {error}") from error
    local = [info[4][0] for info in found if is_local(str(info[4][0]))]
    if local and not anywhere:
        raise DiskError(f"{url}: {_refusal(str(local[0]))}")
    folder = make_private(target.with_name("layers"))
    # As everywhere, a registry on this computer needs no certificate.
    options = ["--src-no-creds", *(["--src-tls-verify=false"] if local else [])]
    platform = ["--override-os", "linux", "--override-arch", "amd64"]
    try:
        await run("skopeo", *platform, "copy", *options, url, f"dir:{folder}", largest=largest)
    except DiskError as error:
        raise Later("Error", f"{url}: {error}") from error
    # The one file in /disk/ of the last layer that has that folder. Layers are read by tar, which has limits.
    try:
        layers = [str(layer["digest"]) for layer in json.loads((folder / "manifest.json").read_text())["layers"]]
    except (ValueError, LookupError, TypeError) as error:
        raise DiskError(f"{url}: its manifest cannot be read: {error!r}") from error
    for digest in reversed(layers):
        archive = str(folder / Path(digest.partition(":")[2]).name)
        listed = target.with_name("names")
        await run("tar", "--list", "--file", archive, into=listed, largest=_LONGEST_LIST)
        inside = [name for name in listed.read_text(errors="replace").splitlines() if re.match(r"(\./|/)?disk/.", name)]
        disks = [name for name in inside if "/.wh." not in name]
        if len(disks) == 1:
            chosen = ("--absolute-names", "--file", archive, "--", disks[0])
            await run("tar", "--extract", "--to-stdout", *chosen, into=target, largest=largest)
            return
        if inside:
            raise DiskError(f"{url}: /disk/ of the image must hold one file, and has {disks}")
    raise DiskError(f"{url}: the image has no folder /disk/ with a disk in it")
