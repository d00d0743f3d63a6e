"""A machine on bare QEMU for the tests: seed, serial console, monitor, and waiting with a deadline."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pycdlib

T = TypeVar("T")
BOOT_DEADLINE = 120.0
CHARACTERS = {" ": "spc", "\n": "ret", ">": "shift-dot", "/": "slash", "-": "minus", ".": "dot"}


def wait_for(what: str, probe: Callable[[], T | None], seconds: float = 30.0) -> T:
    """The first answer of the probe that is not None."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = probe()
        if answer is not None:
            return answer
        threading.Event().wait(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def seed(path: Path, user_data: dict[str, object], meta_data: str) -> None:
    """A NoCloud seed, as KubeVirt makes it."""
    image = pycdlib.PyCdlib()
    image.new(vol_ident="cidata", joliet=3, rock_ridge="1.09")
    texts = {"user-data": f"#cloud-config\n{json.dumps(user_data)}", "meta-data": meta_data}
    for name, text in texts.items():
        data = text.encode()
        plain = name.replace("-", "").upper()
        image.add_fp(io.BytesIO(data), len(data), f"/{plain}.;1", rr_name=name, joliet_path=f"/{name}")
    image.write(str(path))
    image.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Serial:
    """The serial console: everything it said, and a way to type."""

    def __init__(self, path: Path) -> None:
        self.said = ""
        self._socket = connect(path)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the socket was closed at the end of the test
            while data := self._socket.recv(65536):
                self.said += data.decode(errors="replace")

    def expect(self, text: str, since: int = 0, seconds: float = BOOT_DEADLINE) -> None:
        wait_for(f"{text!r} on the serial console", lambda: text in self.said[since:] or None, seconds)

    def type(self, line: str) -> int:
        """Type a line; returns where in `said` the answer begins."""
        start = len(self.said)
        self._socket.sendall(f"{line}\r".encode())
        return start

    def close(self) -> None:
        self._socket.close()


class JsonLines:
    """QMP and the guest agent: a line of JSON each way."""

    def __init__(self, path: Path) -> None:
        self._socket = connect(path)
        self._socket.settimeout(30)
        self._file = self._socket.makefile("rw")

    def ask(self, command: str, **arguments: object) -> dict[str, object]:
        self._file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._file.flush()
        while True:
            answer = json.loads(self._file.readline())
            if "return" in answer or "error" in answer:
                return dict(answer)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def connect(path: Path) -> socket.socket:
    def attempt() -> socket.socket | None:
        link = socket.socket(socket.AF_UNIX)
        try:
            link.connect(str(path))
        except OSError:
            link.close()
            return None
        return link

    return wait_for(f"socket {path.name}", attempt)


class Machine:
    """A running QEMU with the image as KubeVirt would start it: q35, virtio disk, seed, network card, agent."""

    def __init__(
        self,
        disk: Path,
        folder: Path,
        user_data: dict[str, object],
        meta_data: str,
        memory: int = 256,
        processors: int = 1,
    ) -> None:
        self.folder, self._size = folder, f"-m {memory} -smp {processors}"
        self.ttyd_port, self.ssh_port = free_port(), free_port()
        seed(folder / "seed.iso", user_data, meta_data)
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", disk, folder / "overlay.qcow2"], check=True
        )
        self.process = subprocess.Popen(self._command(), cwd=folder)
        self.serial = Serial(folder / "serial")
        self.monitor = JsonLines(folder / "qmp")
        self.monitor.ask("qmp_capabilities")

    def _command(self) -> list[str]:
        forwards = f"hostfwd=tcp:127.0.0.1:{self.ttyd_port}-:7681,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22"
        return f"""
            qemu-system-x86_64 -nodefaults -M q35 -cpu qemu64 -accel tcg {self._size} -display none -device VGA
            -drive file=overlay.qcow2,if=none,id=disk,cache=unsafe -device virtio-blk-pci,drive=disk,bootindex=1
            -drive file=seed.iso,if=none,id=seed,format=raw,readonly=on -device virtio-blk-pci,drive=seed
            -netdev user,id=net,{forwards} -device virtio-net-pci,netdev=net,romfile=
            -device virtio-rng-pci -device virtio-serial-pci -chardev socket,id=agent,path=agent,server=on,wait=off
            -device virtserialport,chardev=agent,name=org.qemu.guest_agent.0
            -serial unix:serial,server=on,wait=on -qmp unix:qmp,server=on,wait=off
        """.split()

    def press(self, text: str) -> None:
        """Type on the machine's keyboard."""
        for character in text:
            names = CHARACTERS.get(character, character).split("-")
            self.monitor.ask("send-key", keys=[{"type": "qcode", "data": name} for name in names], **{"hold-time": 20})
            threading.Event().wait(0.05)

    def screen(self) -> Path:
        """A picture of the screen, as PNG."""
        picture = self.folder / "screen.png"
        self.monitor.ask("screendump", filename=str(picture), format="png")
        return picture

    def end(self) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.monitor.close()
        self.serial.close()
