"""Real machines that misbehave, or are misused: nothing gets stuck, nothing is left over."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from labkit.local.qemu.serial import SerialConsole
from tests.local.conftest import Guest, boot, condition_of, post
from tests.support.engine import EngineProcess, machine, running_engine, seed, until


def qemu_of(engine: EngineProcess, uid: str) -> psutil.Process:
    """The process of a machine."""
    mark = f"path={engine.runtime}/m{uid.replace('-', '')[:11]}/qmp.sock"
    return next(p for p in psutil.process_iter(["cmdline"]) if mark in " ".join(p.info["cmdline"] or []))


def uid_of(guest: Guest) -> str:
    """The uid of the VMI ``web``, or ''."""
    return str(guest.engine.vmi(guest.space, "web").get("metadata", {}).get("uid", ""))


def started(engine: EngineProcess, space: str, strategy: str = "RerunOnFailure", grace: int = 0) -> Guest:
    """The machine ``web`` as soon as it runs."""
    made = machine("web", space, strategy=strategy)
    made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = grace
    post(engine, space, seed(space), made)
    until(lambda: engine.phase(space, "web") == "Running", 60)
    return Guest(engine, space)


@pytest.mark.slow
def test_a_machine_whose_qemu_hangs_goes_all_the_same(engine: EngineProcess, space: str) -> None:
    found = started(engine, space, "Always", grace=3)
    qemu = qemu_of(engine, uid_of(found))
    qemu.send_signal(signal.SIGSTOP)
    path = f"/apis/kubevirt.io/v1/namespaces/{space}/virtualmachines/web"
    assert engine.request("DELETE", path)[0] == 200
    until(lambda: not uid_of(found) and not qemu.is_running(), 90)


def test_a_machine_whose_finalizer_is_taken_off_leaves_no_process_and_no_file(
    engine: EngineProcess, space: str
) -> None:
    found = started(engine, space, "Once")
    uid = uid_of(found)
    qemu, short = qemu_of(engine, uid), f"m{uid.replace('-', '')[:11]}"
    engine.kubectl("patch", "vmi", "web", "-n", space, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    engine.kubectl("delete", "vmi", "web", "-n", space)
    until(lambda: not qemu.is_running() and not [path for path in engine.leftovers() if path.endswith(short)], 30)


def test_many_can_look_at_a_screen_at_once(engine: EngineProcess, space: str) -> None:
    started(engine, space)
    path = f"/apis/subresources.kubevirt.io/v1/namespaces/{space}/virtualmachineinstances/web/vnc/screenshot"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: engine.request("GET", path), range(16)))
    assert {(code, body[:4]) for code, body in answers} == {(200, b"\x89PNG")}


def test_a_console_that_is_not_read_holds_up_neither_the_guest_nor_the_next_one(
    engine: EngineProcess, space: str
) -> None:
    flood = "(sleep 5; yes flood | head -c 9000; echo all said) > /dev/ttyS0 2>&1 &"
    boot(engine, space, runcmd=[flood])
    last = ("logs", "-n", space, "-l", "kubevirt.io=virt-launcher", "-c", "guest-console-log", "--tail=4")
    with engine.stream(space, "web", "console"):
        until(lambda: "all said" in engine.kubectl(*last), 120)
    with engine.stream(space, "web", "console") as second:
        assert b"all said" in second.read_until(b"all said")


@pytest.mark.slow
def test_a_guest_that_ignored_the_power_button_and_powers_off_later_is_not_rebooted(
    engine: EngineProcess, space: str
) -> None:
    late = boot(engine, space, runcmd=["(sleep 20; poweroff) &"])
    marker = engine.runtime / f"m{uid_of(late).replace('-', '')[:11]}" / "reboot"
    marker.touch()
    an_hour_ago = time.time() - 3600
    os.utime(marker, (an_hour_ago, an_hour_ago))
    until(lambda: engine.phase(space, "web") != "Running", 90)
    until(lambda: "shut down" in engine.kubectl("get", "events", "-n", space), 5)


def test_the_console_goes_on_where_its_output_cannot_be_kept(tmp_path: Path) -> None:
    async def viewed() -> bytes:
        async def qemu(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"printed")
            writer.close()

        seen: list[bytes] = []
        (tmp_path / "log").symlink_to(tmp_path / "no such folder" / "log")

        async def keep(data: bytes) -> None:
            seen.append(data)

        async with await asyncio.start_unix_server(qemu, tmp_path / "serial"):
            console = SerialConsole(tmp_path / "serial", tmp_path / "log")
            await console.open()
            viewer = console.attach(lambda: None)
            async with asyncio.timeout(10):
                await viewer.pump(keep)
                # The line has ended: whoever comes now is not left waiting.
                await console.attach(lambda: None).pump(keep)
            await console.close()
        return b"".join(seen)

    assert b"printed" in asyncio.run(viewed())


def test_a_machine_that_finds_no_room_says_so_and_is_tried_again(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("a small file system can be mounted by root only")
    with running_engine() as engine:
        engine.request("POST", "/api/v1/namespaces", {"metadata": {"name": "full"}})
        disks = engine.state / "engine" / "machines"
        disks.mkdir(mode=0o700, exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "lk", str(disks)], check=False).returncode:
            pytest.skip("no file system may be mounted here")
        try:
            (disks / "filler").write_bytes(bytes(32768))
            post(engine, "full", seed("full"), machine("web", "full", strategy="Always"))
            found = Guest(engine, "full")
            why = until(lambda: condition_of(found, "web", "Synchronized").get("message"), 60)
            assert os.strerror(errno.ENOSPC) in why
            subprocess.run(["mount", "-o", "remount,size=64m", str(disks)], check=True)
            until(lambda: engine.phase("full", "web") == "Running", 60)
            engine.kubectl("delete", "vm", "web", "-n", "full")
            until(lambda: not uid_of(found), 60)
        finally:
            subprocess.run(["umount", "-l", str(disks)], check=True)
