"""`check.py`: an author's program, run beside the lab in a sandbox that has neither network nor secrets nor files.

All that it can do is ask, over one socket, for what its module `lab` (`inside_check.py`) offers: a command in a
machine, or a connection to a port of one. Each is done here, with labkit's own rights on this one lab.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from labkit.cluster.client import Cluster
from labkit.cluster.joining import join, reach
from labkit.cluster.portforward import Stream, finished, soon
from labkit.errors import ClusterError, MachineUnreachable, NotFound
from labkit.orchestrator import inside, inside_check
from labkit.orchestrator.access import Access
from labkit.orchestrator.ssh import OUTPUT_LIMIT, Completed
from labkit.templates import Template

SANDBOX, PACKAGE = "bwrap", "bubblewrap"
_PLACE = "/check"
_MOST_MEMORY = 512 << 20
_MOST_REQUEST = 1 << 20
_PIECE = 65536
_POLL_SECONDS = 0.05
_GRACE_SECONDS = 2.0


def run(
    cluster: Cluster,
    access: Access,
    template: Template,
    program: str,
    variables: Mapping[str, str],
    seconds: float,
    still: Callable[[], None],
) -> Completed:
    """Run a `check.py` to its end, `seconds` at most. `still` is called meanwhile: what it raises ends it.

    Raises MachineUnreachable where a machine cannot be reached that it needs, or this computer has no sandbox for it.
    """
    if shutil.which(SANDBOX) is None:
        raise MachineUnreachable(f"the check needs '{PACKAGE}' on the computer that runs it, which is not installed")
    deadline = time.monotonic() + seconds
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with tempfile.TemporaryDirectory(prefix="labkit-check-") as folder, ours:
        _fill(Path(folder), program, variables)
        with theirs:
            child = subprocess.Popen(
                command_line(folder, theirs.fileno(), seconds),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env={"PATH": "/usr/bin:/bin"},
                process_group=0,
            )
        answers = Answers(cluster, access, template, deadline, still)
        with contextlib.ExitStack() as ends:
            ends.callback(_end, child)
            ends.callback(answers.close)
            outputs = [Kept(child.stdout), Kept(child.stderr)]
            answers.serve(ours, lambda: child.poll() is None)
            status = child.poll()
            _end(child)
            done = Completed(status, *(output.text() for output in outputs))
    if status == inside_check.UNREACHABLE:
        raise MachineUnreachable(done.stderr.strip().rpartition("\n")[2])
    return done


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a sandbox, with the half that bwrap has begun: until it has been let go, it would wait for ever."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def command_line(folder: str, socket_number: int, seconds: float) -> list[str]:
    """The sandbox: /usr's programs, this Python, the program with its module, and the socket.

    It ends by itself a little after its time, for where labkit is killed before bwrap has asked to die with it.
    """
    links = [word for name in ("bin", "sbin", "lib", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}")]
    python = [word for prefix in _prefixes() for word in ("--ro-bind", prefix, prefix)]
    interpreter = str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
    end = ["timeout", "--signal=KILL", f"{seconds + _GRACE_SECONDS:.3f}"]
    limits = [*end, "prlimit", f"--as={_MOST_MEMORY}", "--core=0", "--"]
    return [
        SANDBOX, "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL",
        "--ro-bind", "/usr", "/usr", *links, *python, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",  # noqa: S108 - the sandbox's own
        "--ro-bind", folder, _PLACE, "--chdir", _PLACE, "--setenv", inside_check.SOCKET, str(socket_number),
        "--setenv", "PATH", "/usr/bin:/bin", "--", *limits, interpreter, "-s", "-B", "-c", "import lab; lab.main()",
    ]  # fmt: skip


def _prefixes() -> Iterator[str]:
    """Where Python is, if not below /usr, which the sandbox has anyway."""
    if not Path(sys.base_prefix).is_relative_to("/usr"):
        yield sys.base_prefix


def _fill(folder: Path, program: str, variables: Mapping[str, str]) -> None:
    (folder / "check.py").write_text(program, encoding="utf-8")
    (folder / "variables.json").write_text(json.dumps(dict(variables)), encoding="utf-8")
    shutil.copyfile(inside_check.__file__, folder / "lab.py")


class Kept:
    """The beginning of what a stream says; the rest is read and thrown away, so that nobody waits."""

    def __init__(self, stream: Any) -> None:
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: Any) -> None:
        with stream:
            while data := stream.read1(_PIECE):
                self._kept += data[: max(OUTPUT_LIMIT - len(self._kept), 0)]

    def text(self) -> str:
        """What was kept, once the stream has ended."""
        self._thread.join(1)
        return self._kept.decode(errors="replace")


class Answers:
    """Does what a program asks for. One request at a time; connections that were handed out live beside."""

    def __init__(
        self, cluster: Cluster, access: Access, template: Template, deadline: float, still: Callable[[], None]
    ) -> None:
        self._cluster, self._access, self._template = cluster, access, template
        self._deadline, self._still = deadline, still
        self._open: list[Future[None]] = []
        self._kinds: Mapping[str, Callable[..., tuple[Any, Sequence[socket.socket]]]] = {
            "run": self._run,
            "connect": self._connect,
        }

    def serve(self, asked: socket.socket, alive: Callable[[], bool]) -> None:
        """Answer until the program ends or its time is up."""
        asked.settimeout(_POLL_SECONDS)
        while alive() and time.monotonic() < self._deadline:
            self._still()
            try:
                request = asked.recv(_MOST_REQUEST)
            except TimeoutError:
                continue
            if not request:
                # It has closed its end: it is about to be over.
                time.sleep(_POLL_SECONDS)
                continue
            answer, files = self._answer(request)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno() for file in files]))]
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                asked.sendmsg([json.dumps(answer, ensure_ascii=False).encode()], rights if files else [])
            for file in files:
                file.close()

    def close(self) -> None:
        """End the connections that were handed out."""
        for joined in self._open:
            joined.cancel()

    def _answer(self, request: bytes) -> tuple[Any, Sequence[socket.socket]]:
        try:
            asked = json.loads(request)
            return self._kinds[asked.pop("kind")](**asked)
        except (MachineUnreachable, ClusterError) as error:
            return {"unreachable": str(error)}, ()
        except NotFound as error:
            return {"wrong": str(error)}, ()
        except (ValueError, TypeError, KeyError, AttributeError):
            return {"wrong": "labkit cannot do that; what it can is in the module lab"}, ()

    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), 0.1)

    def _run(self, machine: str, command: str, stdin: str, seconds: float) -> tuple[Any, Sequence[socket.socket]]:
        wanted = self._template.machine(machine)
        done = inside.run(
            self._cluster,
            self._access,
            wanted,
            command,
            stdin=stdin,
            timeout=min(float(seconds), self._left()),
            still=self._still,
        )
        return {"status": done.status, "stdout": done.stdout, "stderr": done.stderr}, ()

    def _connect(self, machine: str, port: int) -> tuple[Any, Sequence[socket.socket]]:
        wanted = self._template.machine(machine)
        target = inside.port_target(self._cluster, self._access.lab, wanted, int(port))
        stream = finished(reach(target, machine, int(port)))
        near, far = socket.socketpair()
        near.setblocking(False)
        self._open.append(soon(_passed_on(stream, near)))
        return {}, (far,)


async def _passed_on(stream: Stream, near: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the program has gone
        await join(stream, *await asyncio.open_connection(sock=near))
