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

from labkit.local import processes
from labkit.local.files import make_private, remove_tree
from labkit.local.objects import Obj
from labkit.local.storage.disks import DiskError, run

_LOCAL = re.compile(r"localhost/labkit/(?P<name>[a-z0-9][a-z0-9._-]*)(:[A-Za-z0-9._-]+)?")
_REFERENCE = re.compile(r"[a-z0-9][a-zA-Z0-9._/:@-]*")
_TAG = "latest"
_KEPT_SECONDS, _PULL_TIMEOUT = 7 * 86400, "15m"
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
    """An unpacked image: what it says of how it is to be run, and umoci's beginning of a configuration for runc."""

    digest: str
    rootfs: Path
    config: Obj
    start: Obj


class Images:
    """The images of one engine, below ``folder``; ``local`` is where built and imported ones are.

    Root's unpacked files belong to ids from ``first_id`` on; an ordinary user's all belong to that user.
    """

    def __init__(self, folder: Path, local: Path, first_id: int, ids: int) -> None:
        self._folder, self._local = folder, local
        mapped = [f"--{kind}-map=0:{first_id}:{ids}" for kind in ("uid", "gid")]
        self._mapping = mapped if os.getuid() == 0 else ["--rootless"]
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def remote(self, reference: str, policy: str) -> bool:
        """Whether a registry will be asked. Raises ImageTrouble."""
        if _LOCAL.fullmatch(reference):
            return False
        if not _REFERENCE.fullmatch(reference):
            raise ImageTrouble("InvalidImageName", f'couldn\'t parse image name "{reference}"')
        there = (self._layout(reference) / "index.json").exists()
        if policy == "Never" and not there:
            why = f'Container image "{reference}" is not present with pull policy of Never'
            raise ImageTrouble("ErrImageNeverPull", why)
        return policy == "Always" or (policy == "IfNotPresent" and not there)

    async def get(self, reference: str, policy: str) -> Image:
        """The image that a reference means now, unpacked. Raises ImageTrouble."""
        layout = self._layout(reference)
        try:
            async with self._locks[str(layout)]:
                if self.remote(reference, policy):
                    make_private(layout.parent)
                    copy = ("copy", "--quiet", f"docker://{reference}", f"oci:{layout}:{_TAG}")
                    await _run("skopeo", f"--command-timeout={_PULL_TIMEOUT}", *copy)
                digest = _digest(layout)
            async with self._locks[digest]:
                return await self._unpacked(layout, digest)
        except FileNotFoundError as error:
            remedy = f": run 'labkit images build {layout.parent.parent.name}'" if _LOCAL.fullmatch(reference) else ""
            raise ImageTrouble("ErrImagePull", f"there is no container image '{reference}'{remedy}") from error
        except (DiskError, ValueError, LookupError, TypeError) as error:
            raise ImageTrouble("ErrImagePull", f"image '{reference}' cannot be had: {error}") from error

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

    async def _unpacked(self, layout: Path, digest: str) -> Image:
        target = self._folder / "roots" / digest.partition(":")[2]
        if not target.exists():
            made = target.with_name(f".{target.name}")
            await asyncio.to_thread(remove_tree, made)
            root = make_private(made) / "rootfs"
            # It compares checksums.
            await _run("umoci", "raw", "unpack", *self._mapping, "--image", f"{layout}:{_TAG}", str(root))
            about = ("--image", f"{layout}:{_TAG}", f"--rootfs={root}", str(made / "start.json"))
            await _run("umoci", "raw", "runtime-config", *about)
            (made / "image.json").write_text(await _run("skopeo", "inspect", "--config", f"oci:{layout}:{_TAG}"))
            made.rename(target)
        os.utime(target)
        config, start = (json.loads((target / name).read_text()) for name in ("image.json", "start.json"))
        return Image(digest, target / "rootfs", config.get("config") or {}, start)


def _digest(layout: Path) -> str:
    """That of the image in a layout. Raises FileNotFoundError, ValueError, LookupError or TypeError."""
    for item in json.loads((layout / "index.json").read_text())["manifests"]:
        if item.get("annotations", {}).get("org.opencontainers.image.ref.name") == _TAG:
            return str(item["digest"])
    raise ValueError(f"nothing in it is called {_TAG}")


async def _run(*command: str) -> str:
    return await run(*command, umask=0o022, variables=processes.environment(*_VARIABLES))
