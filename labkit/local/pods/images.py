"""Container images: found or fetched (skopeo), unpacked once for each digest (umoci), and kept."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.local import processes
from labkit.local.files import make_private, remove_tree
from labkit.local.objects import Obj

_LOCAL = re.compile(r"localhost/labkit/(?P<name>[a-z0-9][a-z0-9._-]*)(:[A-Za-z0-9._-]+)?")
_REFERENCE = re.compile(r"[a-z0-9][a-zA-Z0-9._/:@-]*")
_TAG = "latest"
_KEPT_SECONDS = 7 * 86400
_PULL_TIMEOUT = "15m"
_VARIABLES = (
    "REGISTRY_AUTH_FILE", "SSL_CERT_FILE", "XDG_RUNTIME_DIR",
    *(name for word in ("http_proxy", "https_proxy", "no_proxy") for name in (word, word.upper())),
)  # fmt: skip
"""Where skopeo looks for what an operator has told it."""


class ImageTrouble(Exception):
    """An image that cannot be had: one sentence; ``reason`` is Kubernetes' word for it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Image:
    """An unpacked image. ``config`` is what it says of how it is to be run."""

    digest: str
    rootfs: Path
    config: Obj


class Images:
    """The images of one engine, below ``folder``; ``local`` is where built and imported ones are.

    Root's unpacked files belong to ids from ``first_id`` on; an ordinary user's all belong to that user.
    """

    def __init__(self, folder: Path, local: Path, first_id: int, ids: int) -> None:
        self._folder, self._local = folder, local
        self._mapping = [f"--{kind}-map=0:{first_id}:{ids}" for kind in ("uid", "gid")]
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def remote(self, reference: str, policy: str) -> bool:
        """Whether a registry will be asked. Raises ImageTrouble."""
        if _LOCAL.fullmatch(reference):
            return False
        if not _REFERENCE.fullmatch(reference):
            raise ImageTrouble("InvalidImageName", f'couldn\'t parse image name "{reference}"')
        there = (self._layout(reference) / "index.json").exists()
        if policy == "Never" and not there:
            raise ImageTrouble(
                "ErrImageNeverPull", f'Container image "{reference}" is not present with pull policy of Never'
            )
        return policy == "Always" or (policy == "IfNotPresent" and not there)

    async def get(self, reference: str, policy: str) -> Image:
        """The image that a reference means now, unpacked. Raises ImageTrouble."""
        layout = self._layout(reference)
        async with self._locks[str(layout)]:
            if self.remote(reference, policy):
                make_private(layout.parent)
                await _run(
                    "skopeo",
                    f"--command-timeout={_PULL_TIMEOUT}",
                    "copy",
                    "--quiet",
                    f"docker://{reference}",
                    f"oci:{layout}:{_TAG}",
                )
            digest, config = await asyncio.to_thread(_read, layout, reference)
        async with self._locks[digest]:
            return Image(digest, await self._unpacked(layout, digest), config)

    def sweep(self, used: Collection[str]) -> None:
        """Remove what was unpacked and has not been used for days, or was not unpacked to its end."""
        for entry in self._folder.glob("roots/*"):
            old = time.time() - entry.stat().st_mtime > _KEPT_SECONDS and f"sha256:{entry.name}" not in used
            if old or entry.name.startswith("."):
                remove_tree(entry)

    def _layout(self, reference: str) -> Path:
        if match := _LOCAL.fullmatch(reference):
            return (self._local / match["name"] / "current").resolve() / "oci"
        return self._folder / "pulled" / hashlib.sha256(reference.encode()).hexdigest()[:16]

    async def _unpacked(self, layout: Path, digest: str) -> Path:
        target = self._folder / "roots" / digest.partition(":")[2]
        if not target.exists():
            made = make_private(target.parent) / f".{target.name}"
            await asyncio.to_thread(remove_tree, made)
            how = self._mapping if os.getuid() == 0 else ["--rootless"]
            await _run("umoci", "raw", "unpack", *how, "--image", f"{layout}:{_TAG}", str(made))
            made.rename(target)
        os.utime(target)
        return target


def _read(layout: Path, reference: str) -> tuple[str, Obj]:
    try:
        found = json.loads((layout / "index.json").read_text())["manifests"]
        tagged = [
            item for item in found if item.get("annotations", {}).get("org.opencontainers.image.ref.name") == _TAG
        ]
        digest = str((tagged or found)[0]["digest"])
        config = _blob(layout, _blob(layout, digest)["config"]["digest"])
        return digest, config.get("config") or {}
    except FileNotFoundError as error:
        name = layout.parent.parent.name
        remedy = f": run 'labkit images build {name}'" if _LOCAL.fullmatch(reference) else ""
        raise ImageTrouble("ErrImagePull", f"there is no container image '{reference}'{remedy}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ImageTrouble("ErrImagePull", f"image '{reference}' is not whole: {error}") from error


def _blob(layout: Path, digest: str) -> Any:
    algorithm, _, number = digest.partition(":")
    content = (layout / "blobs" / algorithm / number).read_bytes()
    if hashlib.new(algorithm, content).hexdigest() != number:
        raise ValueError(f"{digest} has another checksum")
    return json.loads(content)


async def _run(*command: str) -> None:
    pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    variables = processes.environment(*_VARIABLES)
    try:
        child = await asyncio.create_subprocess_exec(*command, stdin=none, stdout=none, stderr=pipe, env=variables)
    except FileNotFoundError as error:
        why = f"'{command[0]}' is not installed: run 'apt-get install {command[0]}'"
        raise ImageTrouble("ErrImagePull", why) from error
    try:
        _, said = await child.communicate()
    except asyncio.CancelledError:
        child.kill()
        raise
    if child.returncode:
        lines = said.decode(errors="replace").strip().splitlines()
        raise ImageTrouble("ErrImagePull", f"{command[0]} failed: {lines[-1] if lines else child.returncode}")
