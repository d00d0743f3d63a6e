"""Killed anywhere and asked again: there is exactly one lab, it comes up or is cleaned up, and others live on."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from jupyter_client.manager import KernelManager

from labkit.store import SqliteStore
from tests.support.home import LABKIT, Home, eventually, new_home


@pytest.fixture
def home() -> Iterator[Home]:
    found = new_home()
    yield found
    found.end()
    assert found.processes() == []


def kill(home: Home, word: str) -> int:
    """Kill a part outright; its process id."""
    found = next(process for process in home.processes(word) if "network.holder" not in " ".join(process.cmdline()))
    found.kill()
    return found.pid


def wait_for_machine(home: Home) -> int:
    """The one machine's process, once there is one."""
    for _ in eventually("a machine", 30):
        if home.machines():
            return home.machines()[0]
    raise AssertionError


@pytest.mark.parametrize("part", ["labkit.local", "labkit.cli controller", "labkit.supervisor"])
def test_a_start_whose_engine_controller_or_supervisor_is_killed_is_finished_by_the_next_command(
    home: Home, part: str
) -> None:
    first = home.json("start", "hello-lab", "--no-wait")
    machine = wait_for_machine(home)
    kill(home, part)
    second = home.json("start", "hello-lab")
    assert (second["id"], second["state"]) == (first["id"], "running")
    assert home.machines() == [machine], "the machine lived on: it was not made a second time"
    assert home.labkit("stop", "hello-lab").returncode == 0
    assert home.leftovers() == []


def test_machines_live_on_when_all_of_labkit_is_killed_and_another_lab_is_stopped(home: Home, tmp_path: Path) -> None:
    other = tmp_path / "other-lab"
    shutil.copytree(Path("labkit/templates/bundled/hello-lab"), other)
    (other / "lab.yaml").write_text((other / "lab.yaml").read_text().replace("name: hello-lab", "name: other-lab"))
    stays, goes = home.json("start", "hello-lab"), home.json("start", str(other))
    before = home.machines()
    assert len(before) == 2
    kill(home, "labkit.supervisor")
    for _ in eventually("everything but machines and networks gone", 20):
        if not home.processes("labkit.cli") and not home.processes("labkit.local --exit"):
            break
    assert home.labkit("stop", goes["id"]).returncode == 0
    assert len(home.machines()) == 1
    assert set(home.machines()) < set(before)
    done = home.labkit("exec", stays["id"], "box", "hostname")
    assert (done.stdout, done.returncode) == ("box\n", 0)


def test_a_stop_whose_controller_is_killed_is_finished_by_the_next_one(home: Home) -> None:
    lab = home.json("start", "hello-lab")["id"]
    os.kill(home.processes("labkit.cli controller")[0].pid, signal.SIGSTOP)
    stopping = psutil.Popen([str(LABKIT), "stop", lab], env=home.environment)
    for _ in eventually("the stop is asked for"):
        if home.json("status", lab)["state"] == "stopping":
            break
    kill(home, "labkit.cli controller")
    assert stopping.wait(60) == 0
    assert home.leftovers() == []


def test_a_lab_whose_stop_was_never_queued_is_stopped_all_the_same(home: Home) -> None:
    lab = home.json("start", "hello-lab")["id"]
    store = SqliteStore(home.settings.database)
    store.want(lab, "ended")
    store.close()
    for _ in eventually("the lab has ended", 60):
        if home.json("status", lab)["state"] == "stopped":
            break
    assert home.leftovers() == []


def test_labs_of_another_engine_are_not_written_off(home: Home) -> None:
    lab = home.json("start", "hello-lab")["id"]
    other = new_home()
    try:
        other.labkit("engine", "up")
        done = home.labkit("list", LABKIT_KUBECONFIG=str(other.settings.engine_kubeconfig))
        for _ in eventually("the controller refuses"):
            if "labs on another engine" in (home.settings.logs_dir / "controller.log").read_text():
                break
        assert done.returncode in (0, 1)
    finally:
        other.end()
    assert home.json("status", lab)["state"] == "running"


def test_a_kernel_interrupted_in_mid_start_finds_its_lab_again(home: Home, tmp_path: Path) -> None:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=home.environment, cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute("import labkit; lab = labkit.start('hello-lab')")
        machine = wait_for_machine(home)
        manager.interrupt_kernel()
        assert client.get_shell_msg(timeout=30)["content"]["ename"] == "KeyboardInterrupt"
        again = client.execute_interactive(
            "lab = labkit.start('hello-lab'); assert lab.status.state == 'running'", timeout=120
        )
        assert again["content"]["status"] == "ok"
        assert home.machines() == [machine]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_without_an_image_the_start_says_what_to_do_and_leaves_nothing() -> None:
    home = new_home(image=False)
    try:
        done = home.labkit("start", "hello-lab")
        assert done.returncode == 1
        assert "labkit images build tiny" in done.stderr
        assert home.leftovers() == []
        assert home.json("list", "--all")[0]["state"] == "failed"
    finally:
        home.end()


def test_without_qemu_the_start_says_what_to_do_and_leaves_nothing(home: Home, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for folder in ("/usr/bin", "/usr/sbin", "/bin", "/sbin"):
        for tool in Path(folder).iterdir():
            if not tool.name.startswith("qemu-system") and not (tools / tool.name).is_symlink():
                (tools / tool.name).symlink_to(tool)
    done = home.labkit("start", "hello-lab", PATH=str(tools))
    assert done.returncode == 1
    assert "qemu-system-x86" in done.stderr
    assert "Traceback" not in done.stderr
    assert home.leftovers() == []


def test_a_gateway_port_that_is_taken_is_named_with_the_remedy(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = home.labkit("engine", "up", LABKIT_GATEWAY_PORT=port)
    assert done.returncode == 1
    assert port in done.stderr
    assert "LABKIT_GATEWAY_PORT" in done.stderr or "gateway_port" in done.stderr
