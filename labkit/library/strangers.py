"""What somebody in a browser has sent or named: a zip archive, a Git repository. Not even its sender is trusted.

Both end as plain files below a new folder, within `shelf`'s bounds. Of a repository one commit is fetched, over https
from one address that the caller has judged, and never checked out: git packs it, and it is unpacked like any archive.
"""

from __future__ import annotations

import mmap
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from labkit.errors import Conflict
from labkit.library.shelf import MOST_FILES, MOST_SIZE
from labkit.library.sources import GitBounds, fetch, run_git, templates_in, unpack

ADDRESS = re.compile(r"https://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?/[A-Za-z0-9._~/+%-]+")
FOLDER = re.compile(r"(?!.*(^|/)\.)[A-Za-z0-9_][A-Za-z0-9._ /-]{0,199}(?<!/)")
_BOUNDS = GitBounds(seconds=60, file=MOST_SIZE, memory=2 << 30)
_ENTRY = b"PK\x01\x02"
"""How each entry of a zip archive's list begins."""


@contextmanager
def unpacked(archive: Path, folder: str = "") -> Iterator[Path]:
    """The folder of the one template in a zip archive, or below `folder` in it. Raises Conflict, NotFound."""
    with tempfile.TemporaryDirectory(prefix="labkit-") as place:
        _judge(archive)
        unpack(archive, Path(place))
        yield _only(Path(place), _folder(folder), "this archive")


@contextmanager
def cloned(address: str, addresses: Sequence[str], *, ref: str = "", folder: str = "") -> Iterator[Path]:
    """The folder of the one template in a Git repository. `addresses` are those of its host: no other is asked.

    Raises Conflict, NotFound; LabkitError with git's last word.
    """
    wanted = _folder(folder)
    with tempfile.TemporaryDirectory(prefix="labkit-") as name:
        home, place = Path(name) / "git", Path(name) / "found"
        home.mkdir()
        place.mkdir()
        git = partial(run_git, options=_options(address, addresses), environment=_environment(home), bounds=_BOUNDS)
        git(home, "init", "--quiet", "--bare", "--template=")
        fetch(git, home, address, ref or "HEAD")
        git(home, "archive", "--format=tar", f"--output={home}/repository", f"FETCH_HEAD:{wanted or ''}")
        unpack(home / "repository", place)
        yield _only(place, None, "this repository")


def check_address(address: str) -> None:
    """Raises Conflict for what is no address of a Git repository that a stranger may name."""
    if not ADDRESS.fullmatch(address) or not 0 < int(address.split("/")[2].partition(":")[2] or 443) < 1 << 16:
        raise Conflict(
            "name a Git repository by an address such as https://git.example.org/labs.git, without a password"
        )


def _environment(home: Path) -> dict[str, str]:
    """Nothing of ours: no credentials, no configuration, no proxy. A certificate authority of the operator's counts."""
    kept = {name: os.environ[name] for name in ("PATH", "GIT_SSL_CAINFO") if name in os.environ}
    nothing = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ALLOW_PROTOCOL": "https"}
    return {**kept, **nothing, "HOME": str(home)}


def _options(address: str, addresses: Sequence[str]) -> list[str]:
    parts = urlsplit(address)
    pinned = ",".join(f"[{one}]" if ":" in one else one for one in addresses)
    settings = {
        "http.curloptResolve": f"{parts.hostname}:{parts.port or 443}:{pinned}",
        "http.followRedirects": "false",
        "http.proxy": "",
        "http.lowSpeedLimit": "1000",
        "http.lowSpeedTime": "20",
        "credential.helper": "",
        "core.attributesFile": os.devnull,
    }
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def _folder(folder: str) -> str | None:
    if folder and not FOLDER.fullmatch(folder):
        raise Conflict("name the folder by its path below the top, such as labs/two-machines")
    return folder or None


def _judge(archive: Path) -> None:
    """Raises Conflict for what is no zip archive, or one that would be costly only to read."""
    if not zipfile.is_zipfile(archive):
        raise Conflict("this is no zip archive")
    with archive.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found, entries = content.find(_ENTRY), 0
        while found >= 0 and entries <= 2 * MOST_FILES:
            found, entries = content.find(_ENTRY, found + 1), entries + 1
    if entries > 2 * MOST_FILES:
        raise Conflict(f"this archive holds more than {MOST_FILES} files")
    try:
        with zipfile.ZipFile(archive) as packed:
            strange = {info.compress_type for info in packed.infolist()} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Conflict(f"this archive cannot be read: {error}") from None
    if strange:
        raise Conflict("this archive is packed in a rare way: pack it as a plain zip")


def _only(place: Path, folder: str | None, where: str) -> Path:
    found = templates_in(place, folder, where)
    if len(found) > 1:
        names = ", ".join(str(one.relative_to(place)) for one in found)
        raise Conflict(f"there are {len(found)} labs in {where}: say in which folder yours is ({names})")
    return found[0]
