"""Stops that were never queued, other engines, interrupted kernels, and a start for which something is missing."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

from labkit.store import SqliteStore
from tests.support.home import Home, eventually, new_home


@pytest.mark.slow
def test_a_lab_whose_stop_was_never_queued_is_stopped_all_the_same(home: Home) -> None:
    lab = home.json("start", "hello-lab")["id"]
    store = SqliteStore(home.settings.database)
    store.want(lab, "ended")
    store.close()
    for _ in eventually("the lab has ended", 60):
        if home.json("status", lab)["state"] == "stopped":
            break
    assert home.leftovers() == []


@pytest.mark.slow
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
        # What is asked right after an error would be aborted with what was in the queue.
        client.execute("import labkit; lab = labkit.start('hello-lab')", stop_on_error=False)
        machine = home.wait_for_machine()
        manager.interrupt_kernel()
        # A kernel that was slow to come up still answers questions that were asked while it did.
        replies = iter(lambda: client.get_shell_msg(timeout=30), None)
        answer = next(reply for reply in replies if reply["msg_type"] == "execute_reply")
        assert answer["content"].get("ename") == "KeyboardInterrupt"
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


@pytest.mark.slow
def test_a_gateway_port_that_is_taken_is_named_with_the_remedy(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = home.labkit("engine", "up", LABKIT_GATEWAY_PORT=port)
    assert done.returncode == 1
    assert port in done.stderr
    assert "LABKIT_GATEWAY_PORT" in done.stderr or "gateway_port" in done.stderr
