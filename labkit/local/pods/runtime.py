"""A pod's processes: one that holds its namespaces, and for each container runc under the watch of conmon.

All outlive the engine and are found again by paths on their command lines. What lies under a pod's folders says
the rest: ``RUN/NAME-N`` is a container's bundle, ``exit`` in it its exit status once it has ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.local import processes
from labkit.local.files import make_private, remove_tree, write_atomically
from labkit.local.objects import Obj
from labkit.local.paths import MachinePaths
from labkit.local.pods.bundle import Place

RUNC, CONMON, PROFILE = "runc", "conmon", Path("/usr/share/containers/seccomp.json")
PROGRAMS = (RUNC, CONMON, "umoci", "skopeo")
"""Each is the package's name as well."""
FIRST_ID, IDS = 1_900_000_000, 65536
"""Root's containers have these users and groups, which systemd and Debian leave unused."""
_SPOTS = ("/mnt", "/media", "/srv", "/opt")
_LOG_BYTES = 2 * 2**20
_START_SECONDS = 20.0


class RuntimeTrouble(Exception):
    """A pod or container that cannot be started: one sentence."""


@dataclass(frozen=True)
class Exit:
    """How a container ended: its status, when (seconds), and whether it used more memory than it may."""

    code: int
    when: float
    out_of_memory: bool = False


class Runtime:
    """The processes of one pod, whose folders are ``paths``."""

    def __init__(self, paths: MachinePaths) -> None:
        self.paths = paths
        self.first_id, self.ids = (FIRST_ID, IDS) if os.getuid() == 0 else (os.getuid(), 1)
        self._spot = next(spot for spot in map(Path, _SPOTS) if spot.is_dir() and spot not in paths.state.parents)

    @property
    def volumes(self) -> Path:
        """The pod's volumes, each a folder; ``ETC`` is one of them."""
        return self.paths.state / "volumes"

    def holder(self) -> processes.Detached | None:
        """The process that holds the namespaces."""
        return processes.adopt(f"{self.paths.runtime}/\0infinity\0")

    async def hold(self, hostname: str, entry: Sequence[str]) -> processes.Detached:
        """Make the namespaces; ``entry`` starts a command line that runs the rest where that may be done.

        Raises RuntimeTrouble.
        """
        make_private(self.paths.runtime)
        make_private(self.paths.logs)
        log = self.paths.runtime / "pause.log"
        ready, told = os.pipe()
        command = [
            *entry, sys.executable, "-m", "labkit.local.pods.pause", f"{self.paths.runtime}/",
            str(self.first_id), str(self.ids), str(self._spot), str(self.volumes), hostname, str(told),
        ]  # fmt: skip
        with open(ready, "rb", 0) as said:
            try:
                process = processes.start(command, log, pass_fds=[told])
            finally:
                os.close(told)
            if not await asyncio.to_thread(said.read, 1):
                raise RuntimeTrouble(f"the pod's namespaces could not be made: {_last_line(log)}")
        return process

    def place(self, holder: int, container: str) -> Place:
        """Where a container, by its name with the number of its start, is put."""
        cgroup = f"/labkit-{self.identity(container)}" if os.getuid() == 0 else ""
        return Place(holder, self.first_id, self.ids, self._spot / container, self._spot / "volumes", cgroup)

    def identity(self, container: str) -> str:
        """What runc calls it."""
        return f"{self.paths.runtime.name}-{container}"

    def log(self, container: str) -> Path:
        """What it prints, in conmon's form."""
        return self.paths.logs / f"{container}.log"

    async def start(self, holder: int, container: str, image: Path, config: Obj) -> processes.Detached:
        """Start a container; gives what watches it. Raises RuntimeTrouble."""
        await self.remove(holder, container)
        await self._mount(holder, container, image)
        bundle = make_private(self.paths.runtime / container)
        write_atomically(bundle / "config.json", json.dumps(config).encode())
        command = [
            CONMON, "--cid", self.identity(container), "--cuuid", self.identity(container), "--name", container,
            "--runtime", shutil.which(RUNC) or RUNC, "--runtime-arg", f"--root={self.paths.runtime}/runc",
            "--bundle", str(bundle), "--persist-dir", str(bundle), "--container-pidfile", f"{bundle}/pid",
            "--full-attach", "--log-level", "error",
            "--log-path", f"k8s-file:{self.log(container)}", "--log-size-max", str(_LOG_BYTES),
        ]  # fmt: skip
        ready, told = os.pipe()
        variables = {"PATH": os.environ["PATH"], "TZ": "UTC", "_OCI_SYNCPIPE": str(told)}
        with open(ready, "rb", 0) as said:
            try:
                done = await self._run(holder, *command, env=variables, pass_fds=[told])
            finally:
                os.close(told)
            answer = json.loads(await asyncio.to_thread(said.readline) or "{}")
        if answer.get("pid", -1) <= 0:
            why = str(answer.get("message") or done).strip().splitlines()
            raise RuntimeTrouble(why[-1] if why else "conmon said nothing")
        watcher = self.watcher(container)
        if fault := await self._run(None, *self.runc("start", self.identity(container))):
            raise RuntimeTrouble(fault)
        if watcher is None:
            raise RuntimeTrouble("the container's watcher ended at once")
        return watcher

    def watcher(self, container: str) -> processes.Detached | None:
        """The running conmon of a container."""
        return processes.adopt(f"\0{self.paths.runtime / container}\0")

    def exit(self, container: str) -> Exit | None:
        """How a container ended, once it is known."""
        bundle = self.paths.runtime / container
        try:
            code, when = int((bundle / "exit").read_text()), (bundle / "exit").stat().st_mtime
        except (FileNotFoundError, ValueError):
            return None
        return Exit(code, when, (bundle / "oom").exists())

    def runc(self, *words: str) -> list[str]:
        """A command line of runc for this pod."""
        return [RUNC, f"--root={self.paths.runtime}/runc", *words]

    def exec_line(self, holder: int, container: str, command: Sequence[str], *, tty: bool = False) -> list[str]:
        """The command line that runs a command in a container."""
        words = ["exec", *(["--tty"] if tty else []), self.identity(container), *command]
        return [*_inside(holder), *self.runc(*words)]

    async def signal(self, container: str, name: str) -> None:
        """Send a signal to a container's first process, if that is there."""
        await self._run(None, *self.runc("kill", self.identity(container), name))

    async def remove(self, holder: int | None, container: str) -> None:
        """End a container and remove all of it but its log."""
        await self._run(None, *self.runc("delete", "--force", self.identity(container)))
        await processes.end_all(f"\0{self.paths.runtime / container}\0")
        if holder is not None:
            await self._run(holder, "umount", "--lazy", str(self._spot / container))
        await asyncio.to_thread(remove_tree, self.paths.runtime / container)
        await asyncio.to_thread(remove_tree, self.paths.state / container)

    async def clear(self) -> None:
        """Nothing is left of the pod but its logs."""
        for bundle in self.paths.runtime.glob("*-*/"):
            await self.remove(None, bundle.name)
        await processes.end_all(f"{self.paths.runtime}/", 0.5)
        await asyncio.to_thread(remove_tree, self.paths.runtime)
        for entry in self.paths.state.glob("*"):
            if entry != self.paths.logs:
                await asyncio.to_thread(remove_tree, entry)

    def write_volume(self, name: str, files: Mapping[str, tuple[bytes, int]] | None) -> None:
        """A volume's files with their modes, or (None) an empty one to write to, which stays as it is."""
        folder = make_private(self.volumes) / name
        self.volumes.chmod(0o711)
        if files is None and folder.exists():
            return
        remove_tree(folder)
        made = [folder]
        folder.mkdir()
        folder.chmod(0o777 if files is None else 0o755)
        for key, (content, mode) in (files or {}).items():
            target = folder / key
            made += [parent for parent in target.parents if not parent.exists()]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(mode)
            made.append(target)
        for path in made if os.getuid() == 0 else ():
            os.chown(path, self.first_id, self.first_id)

    async def _mount(self, holder: int, container: str, image: Path) -> None:
        """The image with a layer of the container's own on top, or a copy of it where no layers can be had."""
        upper, work = (make_private(self.paths.state / container / name) for name in ("upper", "work"))
        shutil.copystat(image, upper)
        if os.getuid() == 0:
            os.chown(upper, self.first_id, self.first_id)
        target = self._spot / container
        lower = str(image).replace(":", "\\:")
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        await self._run(holder, "mkdir", str(target))
        if await self._run(holder, "mount", "-t", "overlay", "overlay", "-o", options, str(target)):
            copy = str(self.paths.state / container / "copy")
            fault = await self._run(holder, "cp", "-a", "--reflink=auto", str(image), copy)
            if fault := fault or await self._run(holder, "mount", "--bind", copy, str(target)):
                raise RuntimeTrouble(fault)

    async def _run(
        self, holder: int | None, *command: str, env: dict[str, str] | None = None, pass_fds: Sequence[int] = ()
    ) -> str:
        """Run a command to its end (with the pod's mounts where its holder is given); what it said if it failed."""
        inside = _inside(holder) if holder is not None else []
        pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(
            *inside, *command, stdin=none, stdout=none, stderr=none if env else pipe, env=env, pass_fds=pass_fds
        )
        _, said = await child.communicate()
        return (said or b"").decode(errors="replace").strip() or f"{command[0]} failed" if child.returncode else ""


def _inside(holder: int) -> list[str]:
    """The start of a command line that runs the rest with a pod's mounts, and rights over them."""
    user = [f"--user=/proc/{holder}/ns/user", "--preserve-credentials"] if os.getuid() else []
    return ["nsenter", *user, f"--mount=/proc/{holder}/ns/mnt", "--"]


def missing() -> list[str]:
    """The programs that containers need and that are not installed."""
    found = [name for name in PROGRAMS if shutil.which(name) is None]
    return found + ([] if PROFILE.exists() else [str(PROFILE)])


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it said nothing"
