"""A pod's processes: one that holds its namespaces, and for each container runc under the watch of conmon.

All outlive the engine and are found again by paths on their command lines. What lies under a pod's folders says
the rest: ``RUN/NAME-N`` is a container's bundle, ``exit`` in it its exit status once it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from labkit.local import processes
from labkit.local.files import make_private, remove_tree, write_atomically
from labkit.local.objects import Obj
from labkit.local.paths import MachinePaths
from labkit.local.pods.bundle import Place
from labkit.local.pods.status import Exit
from labkit.local.storage.disks import DiskError, run

RUNC, CONMON, PROFILE = "runc", "conmon", Path("/usr/share/containers/seccomp.json")
PROGRAMS = (RUNC, CONMON, "umoci", "skopeo")
"""Each is the package's name as well."""
FIRST_ID, IDS = 1_900_000_000, 65536
"""Root's containers have these users and groups, which systemd and Debian leave unused."""
_SPOTS = ("/mnt", "/media", "/srv", "/opt")
_LOG_BYTES = 2 * 2**20
_TOLD = "@TOLD@"
_HOLD = 'echo > /dev/fd/$1; exec tail -f "$0" > /dev/null'
_SETTINGS = """
hostname "$0"
cd /proc/sys/net
echo 0 > ipv4/ip_unprivileged_port_start
echo "0 $1" > ipv4/ping_group_range
[ ! -e ipv6 ] || echo 1 > ipv6/conf/all/disable_ipv6
"""
_MOUNT = """
cd "$0"
mount -t tmpfs -o nosuid,nodev,mode=711 none "$1"
mkdir -m 711 "$1/volumes" "$1/root"
mount --bind "$2/volumes" "$1/volumes"
mount -t overlay -o "lowerdir=$4,upperdir=$2/$3/upper,workdir=$2/$3/work" none "$1/root" 2> /dev/null || {
    cp -a --reflink=auto "$4" "$2/$3/copy"
    mount --bind "$2/$3/copy" "$1/root"
}
shift 4
exec "$@"
"""
"""Mounts that only a container and its watcher have, and that go with them, at a place that everybody may pass."""


class RuntimeTrouble(Exception):
    """A pod or container that cannot be started: one sentence."""


class Runtime:
    """The processes of one pod, whose folders are ``paths``."""

    def __init__(self, paths: MachinePaths) -> None:
        self.paths = paths
        self.root = os.getuid() == 0
        self.first_id, self.ids = (FIRST_ID, IDS) if self.root else (os.getuid(), 1)
        self._mark = f"\0{paths.runtime}/hold\0"
        self._spot = next(spot for spot in map(Path, _SPOTS) if spot.is_dir() and spot not in paths.state.parents)

    def holder(self) -> processes.Detached | None:
        """The process that holds the namespaces."""
        return processes.adopt(self._mark)

    async def hold(self, hostname: str, entry: Sequence[str]) -> processes.Detached:
        """Make the namespaces; ``entry`` starts a command line that runs the rest where that may be done.

        Raises RuntimeTrouble.
        """
        make_private(self.paths.logs)
        hold, log = make_private(self.paths.runtime) / "hold", self.paths.runtime / "hold.log"
        hold.touch()
        own = ["--user", *([] if self.root else ["--map-root-user"]), "--net", "--uts", "--ipc", "--"]
        process, said = await _begun([*entry, "unshare", *own, "sh", "-c", _HOLD, hold, _TOLD], log)
        if not said:
            raise RuntimeTrouble(f"the pod's namespaces could not be made: {_last_line(log)}")
        for kind in ("uid", "gid") if self.root else ():
            Path(f"/proc/{process.pid}/{kind}_map").write_text(f"0 {self.first_id} {self.ids}\n")
        inside = [f"--{kind}=/proc/{process.pid}/ns/{kind}" for kind in ("user", "net", "uts")]
        kept = [] if self.root else ["--preserve-credentials"]
        await _well("nsenter", *kept, *inside, "--", "sh", "-ec", _SETTINGS, hostname, str(self.ids - 1))
        return process

    def place(self, holder: int, container: str) -> Place:
        """Where a container, by its name with the number of its start, is put."""
        cgroup = f"/labkit-{self.identity(container)}" if self.root else ""
        return Place(holder, self.first_id, self.ids, self._spot / "root", self._spot / "volumes", cgroup)

    def identity(self, container: str) -> str:
        """What runc calls it."""
        return f"{self.paths.runtime.name}-{container}"

    def log(self, container: str) -> Path:
        """What it prints, in conmon's form."""
        return self.paths.logs / f"{container}.log"

    async def start(self, holder: int, container: str, image: Path, config: Obj) -> processes.Detached:
        """Start a container; gives what watches it. Raises RuntimeTrouble."""
        await self.remove(container)
        upper, _ = (make_private(self.paths.state / container / name) for name in ("upper", "work"))
        shutil.copystat(image, upper)
        self._give(upper)
        bundle = make_private(self.paths.runtime / container)
        write_atomically(bundle / "config.json", json.dumps(config).encode())
        # Relative to a folder of both: what separates an overlay's options may be in the folder's name.
        base = Path(os.path.commonpath([image, self.paths.state]))
        folders = (self._spot, self.paths.state.relative_to(base), container, image.relative_to(base))
        mounts = ["unshare", "--mount", "--propagation=slave", "--", "sh", "-ec", _MOUNT, base, *folders]
        command = [
            CONMON, "--cid", self.identity(container), "--cuuid", self.identity(container), "--name", container,
            "--runtime", shutil.which(RUNC) or RUNC, "--runtime-arg", f"--root={self.paths.runtime}/runc",
            "--bundle", bundle, "--persist-dir", bundle, "--container-pidfile", f"{bundle}/pid",
            "--full-attach", "--log-level", "error",
            "--log-path", f"k8s-file:{self.log(container)}", "--log-size-max", _LOG_BYTES,
        ]  # fmt: skip
        variables, log = (
            ["env", "-i", f"PATH={os.environ['PATH']}", "TZ=UTC", f"_OCI_SYNCPIPE={_TOLD}"],
            bundle / "start.log",
        )
        process, said = await _begun(["nsenter", *self._rights(holder), "--", *mounts, *variables, *command], log)
        await process.wait()
        answer = json.loads(said or "{}")
        if answer.get("pid", -1) <= 0:
            raise RuntimeTrouble(str(answer.get("message") or _last_line(log)).strip().splitlines()[-1])
        watcher = self.watcher(container)
        await _well(*self.runc("start", self.identity(container)))
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

    def exec_line(self, watcher: int, container: str, command: Sequence[str], *, tty: bool = False) -> list[str]:
        """The command line that runs a command in a container, from where its root is mounted."""
        words = ["exec", *(["--tty"] if tty else []), self.identity(container), *command]
        return ["nsenter", *self._rights(watcher), f"--mount=/proc/{watcher}/ns/mnt", "--", *self.runc(*words)]

    async def signal(self, container: str, name: str) -> None:
        """Send a signal to a container's first process, if that is there."""
        with contextlib.suppress(DiskError):
            await run(*self.runc("kill", self.identity(container), name))

    async def remove(self, container: str) -> None:
        """End a container and remove all of it but its log."""
        with contextlib.suppress(DiskError):
            await run(*self.runc("delete", "--force", self.identity(container)))
        await processes.end_all(f"\0{self.paths.runtime / container}\0")
        for folder in (self.paths.runtime, self.paths.state):
            await asyncio.to_thread(remove_tree, folder / container)

    async def clear(self) -> None:
        """Nothing is left of the pod but its logs."""
        for bundle in self.paths.runtime.glob("*-*/"):
            await self.remove(bundle.name)
        await processes.end_all(self._mark, 0.5)
        await asyncio.to_thread(remove_tree, self.paths.runtime)
        for entry in self.paths.state.glob("*"):
            if entry != self.paths.logs:
                await asyncio.to_thread(remove_tree, entry)

    def write_volume(self, name: str, files: Mapping[str, tuple[bytes, int]] | None) -> None:
        """A volume's files with their modes, or (None) an empty one to write to."""
        folder = make_private(self.paths.state / "volumes") / name
        folder.parent.chmod(0o711)
        folder.mkdir()
        for key, (content, mode) in (files or {}).items():
            target = folder / key
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(mode)
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                path.chmod(0o777 if files is None else 0o755)
            self._give(path)

    def _give(self, path: Path) -> None:
        if self.root:
            os.chown(path, self.first_id, self.first_id)

    def _rights(self, pid: int) -> list[str]:
        """What nsenter is told in order to have a process's rights, which root has anyway."""
        return [] if self.root else [f"--user=/proc/{pid}/ns/user", "--preserve-credentials"]


async def _begun(command: Sequence[object], log: Path) -> tuple[processes.Detached, str]:
    """Start a command, in which ``_TOLD`` is the number of an open file; gives the line that it said there, if any."""
    ready, told = os.pipe()
    with open(ready, "rb", 0) as said:
        try:
            process = processes.start([str(word).replace(_TOLD, str(told)) for word in command], log, pass_fds=[told])
        finally:
            os.close(told)
        return process, (await asyncio.to_thread(said.readline)).decode(errors="replace")


async def _well(*command: str) -> None:
    try:
        await run(*command)
    except DiskError as error:
        raise RuntimeTrouble(str(error)) from error


def missing() -> list[str]:
    """The programs that containers need and that are not installed."""
    found = [name for name in PROGRAMS if shutil.which(name) is None]
    return found + ([] if PROFILE.exists() else [str(PROFILE)])


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
