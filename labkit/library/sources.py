"""Fetching templates: from a folder, an archive, a Git repository. What comes from outside is not trusted.

An archive is unpacked file by file, within bounds, and only plain files. Git is the git command, with the protocols
https, ssh and file alone, no submodules, no hooks, no filters, no questions.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from labkit.errors import Conflict, LabkitError, NotFound, SetupError
from labkit.library.shelf import MOST_FILES, MOST_SIZE

GIT = re.compile(
    r"(https://|ssh://([A-Za-z0-9._-]+@)?)[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?/[^\s\x00-\x1f]+|file:///[^\s\x00-\x1f]+"
)
WITH_PASSWORD = re.compile(r"https?://[^/]*@")
SHORT_SSH = re.compile(r"([A-Za-z0-9._-]+@[A-Za-z0-9][A-Za-z0-9.-]*):(?!/)([^\s\x00-\x1f:]+)")
REF = re.compile(r"(?!.*(\.\.|//|@\{))[A-Za-z0-9][A-Za-z0-9._/-]{0,200}")
_NO_COMMAND = 127
_OPTIONS = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "fetch.fsckObjects=true")
_ALWAYS = {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1", "LC_ALL": "C"}
_UNREADABLE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


@contextmanager
def fetched(source: str, *, ref: str | None = None, path: str | None = None) -> Iterator[list[Path]]:
    """The folders of the templates in `source`: a folder, an archive (zip, tar), or the address of a Git repository.

    `ref` is a branch, a tag or a commit; `path` a folder within. Folders that were fetched are gone afterwards.
    Raises NotFound, Conflict or SetupError.
    """
    address = SHORT_SSH.sub(r"ssh://\1/\2", source) if SHORT_SSH.fullmatch(source) else source
    if WITH_PASSWORD.match(source):
        raise Conflict("an address holds no names and passwords; let git's credential helper give them")
    if ref is not None and not GIT.fullmatch(address):
        raise Conflict("a ref is for Git repositories only; leave --ref out")
    with tempfile.TemporaryDirectory(prefix="labkit-") as name:
        place = Path(name) / "found"
        place.mkdir()
        if GIT.fullmatch(address):
            _clone(address, ref or "HEAD", place)
        elif Path(source).is_file():
            unpack(Path(source), place)
        elif Path(source).is_dir():
            place = Path(source)
        else:
            raise NotFound(
                f"'{source}' is no folder, no archive and no address of a Git repository (https://, ssh://, file://)"
            )
        yield templates_in(place, path, source)


def templates_in(place: Path, path: str | None, source: str) -> list[Path]:
    """The folders with a lab.yaml: the whole, the folder asked for, or those up to two levels down."""
    start = place / path if path else place
    for pattern in ("lab.yaml", "*/lab.yaml", "*/*/lab.yaml"):
        found = sorted(file.parent for file in start.glob(pattern) if not file.parent.name.startswith("."))
        inside = [folder for folder in found if folder.resolve().is_relative_to(place.resolve())]
        if inside:
            return inside
    raise NotFound(f"there is no lab.yaml in '{source}'{f' below {path}' if path else ''}")


def _clone(address: str, ref: str, place: Path) -> None:
    run_git(place, "init", "--quiet", "--template=")
    fetch(run_git, place, address, ref)
    run_git(place, "checkout", "--quiet", "--detach", "FETCH_HEAD")


def fetch(git: Callable[..., None], place: Path, address: str, ref: str) -> None:
    """Fetch one commit of a repository into the one at `place`. Raises Conflict for a ref that is none."""
    if not REF.fullmatch(ref):
        raise Conflict(f"'{ref}' is no branch, tag or commit")
    git(place, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", address, ref)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "GIT_ALLOW_PROTOCOL": "https:ssh:file", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}


@dataclass(frozen=True)
class GitBounds:
    """What one git command may take: seconds, the bytes of its greatest file, and of its memory (None: no bound)."""

    seconds: float = 300
    file: int = 256 << 20
    memory: int | None = None


_USUAL = GitBounds()
_BOUNDED = 'ulimit -f "$1"; [ "$2" = - ] || ulimit -v "$2"; shift 2; exec "$@"'
"""Bounds are set by a shell: a process with threads may run nothing of its own between fork and exec."""


def run_git(
    place: Path,
    *words: str,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    bounds: GitBounds = _USUAL,
) -> None:
    """Run a git command at `place`: no hooks, no questions, and with all that it started gone at the end.

    Raises SetupError where there is no git, LabkitError with its last word where it fails.
    """
    env = {**(_environment() if environment is None else environment), **_ALWAYS}
    blocks, memory = str(bounds.file // 512), str(bounds.memory >> 10) if bounds.memory else "-"
    command = ["sh", "-c", _BOUNDED, "sh", blocks, memory, "git", *_OPTIONS, *options, "-C", str(place), *words]
    with subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as running:
        try:
            _, told = running.communicate(timeout=bounds.seconds)
        except subprocess.TimeoutExpired:
            raise LabkitError(
                f"git {words[0]} took more than {bounds.seconds:.0f} s; fetch it yourself, and add the folder"
            ) from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
    if running.returncode == _NO_COMMAND:
        raise SetupError("templates from Git need the git command; install the package git")
    if running.returncode != 0:
        said = told.strip().splitlines()
        raise LabkitError(f"git {words[0]} failed: {said[-1] if said else f'status {running.returncode}'}")


def unpack(archive: Path, place: Path) -> None:
    """Write an archive's files below `place`. Raises Conflict for what is no plain file, leads out, or is too much."""
    left, count = MOST_SIZE, 0
    try:
        for name, plain, content in _entries(archive):
            count += 1
            parts = PurePosixPath(name).parts
            if not plain or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
                raise Conflict(f"'{archive.name}' holds '{name}', which is no plain file below its folder")
            if count > MOST_FILES:
                raise Conflict(f"'{archive.name}' holds more than {MOST_FILES} files")
            target = place.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            left -= _copy(content, target, left, archive)
    except _UNREADABLE as error:
        raise Conflict(f"'{archive.name}' cannot be read as a zip or tar archive: {error}") from None


def _entries(archive: Path) -> Iterator[tuple[str, bool, IO[bytes] | None]]:
    """Name, whether it is a plain file, and content of everything but folders."""
    if not tarfile.is_tarfile(archive):  # asked first: a tar that ends with a zip would pass for a zip
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                mode = info.external_attr >> 16
                if not info.is_dir():
                    yield info.filename, not mode or stat.S_ISREG(mode) or not stat.S_IFMT(mode), packed.open(info)
        return
    with tarfile.open(archive) as packed_tar:
        for member in packed_tar:
            if not member.isdir():
                yield member.name, member.isreg(), packed_tar.extractfile(member) if member.isreg() else None


def _copy(content: IO[bytes] | None, target: Path, left: int, archive: Path) -> int:
    """Write `content` to a new file; how many bytes it had. Raises Conflict for more than are `left`."""
    size = 0
    with content or open(os.devnull, "rb") as source, target.open("xb") as out:
        while block := source.read(1 << 16):
            size += len(block)
            if size > left:
                raise Conflict(f"'{archive.name}' holds more than {MOST_SIZE} bytes")
            out.write(block)
    return size
