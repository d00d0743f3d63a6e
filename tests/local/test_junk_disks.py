"""Images that are no images, a guest that answers nonsense, and a disk that is full."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import settings
from labkit.local.qemu import agent
from labkit.local.storage.disks import run
from tests.local.conftest import post
from tests.local.test_survival import qemu
from tests.support.engine import SUBRESOURCES, EngineProcess, machine, namespace, running_engine, seed, until

SECRETS = "/api/v1/namespaces/lab/secrets"
BAD = ("text", "empty", "passwd", "chain", "loop")
VMS = "/apis/kubevirt.io/v1/namespaces/lab/virtualmachines"


def qemu_img(*words: str) -> None:
    """Make a disk."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *words], check=True)


def bad_images(folder: Path) -> None:
    """Images that somebody may have put where images are."""
    disks = {
        name: folder / name / "current" / "disk.qcow2" for name in ("text", "empty", "cut", "passwd", "chain", "loop")
    }
    for disk in disks.values():
        disk.parent.mkdir(parents=True)
    disks["text"].write_text("this is no disk\n")
    disks["empty"].touch()
    tiny = (settings.load().images_dir / "tiny" / "current" / "disk.qcow2").resolve()
    qemu_img("-b", "/etc/passwd", "-F", "raw", str(disks["passwd"]))
    qemu_img("-b", str(tiny), "-F", "qcow2", str(disks["chain"]))
    disks["loop"].symlink_to(disks["loop"])


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """An engine with bad images, whose log must stay clean."""
    images = tmp_path_factory.mktemp("images")
    bad_images(images)
    (images / "tiny").symlink_to(settings.load().images_dir / "tiny")
    with running_engine(images) as found:
        found.request("POST", "/api/v1/namespaces", namespace("lab"))
        post(found, "lab", seed("lab"))
        yield found
        assert "Traceback" not in found.log.read_text()


def test_a_child_may_have_as_many_threads_as_qemu_img_starts() -> None:
    source = """
import threading
ready = threading.Barrier(64)
def work():
    held = [bytearray(1000) for _ in range(9)]
    ready.wait()
for thread in (threads := [threading.Thread(target=work, daemon=True) for _ in range(64)]):
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""
    assert asyncio.run(run("python3", "-c", source)) == "done\n"


@pytest.mark.parametrize("image", BAD)
def test_an_image_that_is_no_disk_of_its_own_is_said_and_the_machine_can_be_deleted(
    engine: EngineProcess, image: str
) -> None:
    post(engine, "lab", machine(image, "lab", strategy="Once", image=image))
    until(lambda: complaint(engine, image), 20)
    assert qemu(engine) == []
    assert "root:x:" not in complaint(engine, image)
    events = engine.kubectl("get", "events", "-n", "lab", f"--field-selector=involvedObject.name={image}")
    assert "Warning" in events
    assert engine.request("DELETE", f"{VMS}/{image}")[0] == 200
    until(lambda: engine.request("GET", f"{VMS}/{image}")[0] == 404, 20)
    assert engine.leftovers() == []


def complaint(engine: EngineProcess, name: str) -> str:
    """What the machine's condition says is wrong."""
    conditions = engine.vmi("lab", name).get("status", {}).get("conditions", [])
    return next((c["message"] for c in conditions if (c["type"], c["status"]) == ("Synchronized", "False")), "")


WRONG = [
    b"",
    b"junk\n",
    b"\xff\xfe\n",
    b"[]\n",
    b"5\n",
    b"[" * 100_000 + b"\n",
    b"x" * 2**21,
    b'{"return": {}}\n' * 10_000,
]


@pytest.mark.parametrize("said", WRONG)
def test_whatever_a_guest_says_on_its_agents_channel_is_an_error_in_time(tmp_path: Path, said: bytes) -> None:
    async def talk() -> None:
        over = asyncio.Event()

        async def guest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(said)
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            over.set()

        async with await asyncio.start_unix_server(guest, tmp_path / "s"):
            with pytest.raises(agent.AgentError):
                await agent.ask(tmp_path / "s", "guest-get-osinfo", seconds=0.5)
            await over.wait()

    asyncio.run(talk())


FAKE = """#!/usr/bin/sh
exec 3<>/dev/virtio-ports/org.qemu.guest_agent.0
while read -r line <&3; do
    case "$line" in
        *guest-sync*) id=$(printf %s "$line" | tr -dc 0-9); echo "{\\"return\\": $id}" >&3 ;;
        *osinfo*) echo '{"return": ANSWER}' >&3 ;;
        *fsinfo*) echo '{"error": 5}' >&3 ;;
        *) echo '{"return": 5}' >&3 ;;
    esac
done
"""


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("deep", "[" * 3000),
        pytest.param("number", "5", marks=pytest.mark.slow),
        pytest.param("lists", '{"id": [[1]]}', marks=pytest.mark.slow),
    ],
)
def test_a_guest_whose_agent_answers_nonsense_is_no_trouble(engine: EngineProcess, name: str, answer: str) -> None:
    files = [{"path": "/usr/bin/qemu-ga", "permissions": "0755", "content": FAKE.replace("ANSWER", answer)}]
    engine.request("DELETE", f"{SECRETS}/seed")
    post(engine, "lab", seed("lab", hostname=name, write_files=files), machine(name, "lab"))
    until(lambda: connected(engine, name), 90)
    for what in ("guestosinfo", "userlist", "filesystemlist"):
        path = f"{SUBRESOURCES}/namespaces/lab/virtualmachineinstances/{name}/{what}"
        assert engine.request("GET", path)[0] in (200, 500)
    assert engine.phase("lab", name) == "Running"
    engine.request("DELETE", f"{VMS}/{name}")
    until(lambda: engine.request("GET", f"{VMS}/{name}")[0] == 404, 20)


def connected(engine: EngineProcess, name: str) -> bool:
    """Whether the guest has opened its agent's channel."""
    conditions = engine.vmi("lab", name).get("status", {}).get("conditions", [])
    return any(c["type"] == "AgentConnected" for c in conditions)


@pytest.fixture
def cramped(tmp_path: Path) -> Iterator[EngineProcess]:
    """An engine whose state is on a file system of 24 MiB, with the machine ``web``, which is off."""
    if os.getuid() != 0:
        pytest.skip("needs to mount a small file system, which only root can")
    with running_engine() as engine:
        engine.kill()
        shutil.rmtree(engine.state)
        engine.state.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "labkit-test", str(engine.state)]
        subprocess.run(mount, check=True)
        try:
            engine.start()
            engine.request("POST", "/api/v1/namespaces", namespace("lab"))
            post(engine, "lab", seed("lab"), machine("web", "lab", strategy="Halted"))
            yield engine
            assert "Traceback" not in engine.log.read_text()
            until(lambda: engine.request("DELETE", "/api/v1/namespaces/lab")[0] in (200, 404), 10)
            until(lambda: engine.request("GET", "/api/v1/namespaces/lab")[0] == 404, 30)
        finally:
            engine.kill()
            subprocess.run(["umount", "--lazy", str(engine.state)], check=True)


@contextlib.contextmanager
def full(engine: EngineProcess) -> Iterator[None]:
    """Not a byte is free where the engine keeps its state."""
    filler = engine.state / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    try:
        yield
    finally:
        filler.unlink()


def test_a_full_disk_refuses_what_is_new_and_keeps_what_there_is(cramped: EngineProcess) -> None:
    large = seed("lab") | {"metadata": {"name": "large"}, "stringData": {"x": "y" * 900_000}}
    with full(cramped):
        code, body = cramped.request("POST", SECRETS, large)
        assert (code, json.loads(body)["kind"]) in ((500, "Status"), (507, "Status"))
        assert "full" in json.loads(body)["message"]
        assert cramped.request("GET", f"{VMS}/web")[0] == 200
    other = seed("lab") | {"metadata": {"name": "other"}}
    until(lambda: cramped.request("POST", SECRETS, other)[0] == 201, 10)
    cramped.kill()
    cramped.start()
    assert [cramped.request("GET", f"{SECRETS}/{name}")[0] for name in ("seed", "other")] == [200, 200]


def test_a_machine_that_finds_no_room_says_so_and_can_be_started_later(cramped: EngineProcess) -> None:
    start = f"{SUBRESOURCES}/namespaces/lab/virtualmachines/web/start"
    with full(cramped):
        code, body = cramped.request("PUT", start)
        assert code == 202 or json.loads(body)["kind"] == "Status"
        until(lambda: code != 202 or "space" in cramped.log.read_text() or cramped.vmi("lab", "web"), 20)
    until(lambda: cramped.request("PUT", start)[0] in (202, 409), 10)
    until(lambda: cramped.phase("lab", "web") == "Running", 60)


def test_an_engine_killed_on_a_full_disk_starts_again_with_everything(cramped: EngineProcess) -> None:
    with full(cramped):
        cramped.kill()
        cramped.start()
        assert cramped.request("GET", f"{VMS}/web")[0] == 200
