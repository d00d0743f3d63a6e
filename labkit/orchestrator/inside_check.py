"""`import lab` in a `check.py`: the lab's machines, as far as a check may reach them.

This file is copied into the check's sandbox under the name `lab.py`. It uses nothing but the standard library.

    import lab

    page = lab.get("web", 80, "/")
    if page.status != 200:
        lab.not_yet("web answers with", page.status)
    if lab.variables["word"] not in lab.run("client", "cat /tmp/word").stdout:
        lab.not_yet("The word is not there yet.")
    print("Well done.")
"""

from __future__ import annotations

import http.client
import json
import os
import runpy
import socket
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

SOCKET = "LABKIT_SOCKET"
BROKEN, UNREACHABLE = 125, 126
"""The statuses with which a check ends that fell over itself, or could not reach a machine: neither is an attempt."""
_MOST_ANSWER = 1 << 20
_MOST_PAGE = 1 << 20
_FILE = Path(__file__).with_name("variables.json")

variables: dict[str, str] = json.loads(_FILE.read_text(encoding="utf-8")) if _FILE.exists() else {}
"""The lab's variables, its machines' addresses (`address_NAME`) among them."""


class LabError(Exception):
    """A machine, or a port of one, cannot be reached at the moment: one sentence."""


@dataclass(frozen=True)
class Done:
    """A command that has ended. `status` is None where its time was up; outputs hold 16 KiB each at most."""

    status: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Page:
    """An answer over HTTP: its status, its headers (names in lower case), the first MiB of its text."""

    status: int
    headers: dict[str, str]
    text: str


def run(machine: str, command: str, *, stdin: str = "", seconds: float = 30.0) -> Done:
    """Run a shell command as root in a machine. Raises LabError where the machine cannot be reached."""
    answer, _ = _ask(kind="run", machine=machine, command=command, stdin=stdin, seconds=seconds)
    return Done(**answer)


def connect(machine: str, port: int) -> socket.socket:
    """A TCP connection to a port of a machine. Raises LabError where nothing listens there."""
    _, files = _ask(kind="connect", machine=machine, port=port)
    return socket.socket(fileno=files[0])


def get(machine: str, port: int, path: str = "/", *, host: str = "", seconds: float = 10.0) -> Page:
    """An HTTP GET to a machine's port. Raises LabError where there is no answer."""
    with connect(machine, port) as connection:
        connection.settimeout(seconds)
        asked = http.client.HTTPConnection(host or machine, port)
        asked.sock = connection
        try:
            asked.request("GET", path)
            answer = asked.getresponse()
            text = answer.read(_MOST_PAGE).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise LabError(f"{machine} gives no answer over HTTP at port {port}: {error!r}") from error
        return Page(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text)


def not_yet(*words: object, score: float | None = None) -> NoReturn:
    """End the check: the step is not done yet, and this is why. `score` (0..1) gives a part of its points."""
    print(*words)
    if score is not None:
        print(f"score: {score}")
    sys.exit(1)


def _ask(**request: Any) -> tuple[dict[str, Any], list[int]]:
    with socket.socket(fileno=os.dup(int(os.environ[SOCKET]))) as asked:
        asked.sendall(json.dumps(request).encode())
        answer, files, _, _ = socket.recv_fds(asked, _MOST_ANSWER, 1)
    found = json.loads(answer)
    if "unreachable" in found:
        raise LabError(found["unreachable"])
    if "wrong" in found:
        raise ValueError(found["wrong"])
    return found, list(files)


def main() -> None:
    try:
        runpy.run_path(str(Path(__file__).with_name("check.py")), run_name="__main__")
    except LabError as error:
        print(error, file=sys.stderr)
        sys.exit(UNREACHABLE)
    except Exception:
        traceback.print_exc()
        sys.exit(BROKEN)
