"""A real machine: screen, console, network, pause; one boot for all."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from labkit.local.qemu.serial import SerialConsole, Viewer
from tests.local.conftest import Guest, answers, condition_of, post
from tests.support.engine import SUBRESOURCES, EngineProcess, machine, seed, until
from tests.support.streams import refusal


def put(guest: Guest, verb: str, machine: str = "virtualmachineinstances") -> tuple[int, bytes]:
    """One action on the guest."""
    return guest.engine.request("PUT", f"{SUBRESOURCES}/namespaces/{guest.space}/{machine}/web/{verb}")


def test_a_console_that_reads_nothing_cannot_keep_the_next_one_out(guest: Guest) -> None:
    with (
        guest.engine.stream(guest.space, "web", "console"),
        guest.engine.stream(guest.space, "web", "console") as second,
    ):
        second.send(b"\n")
        assert second.read_until(b"login:")


def test_a_machine_inherits_no_variable_that_may_hold_a_secret(guest: Guest) -> None:
    running = psutil.process_iter(["cmdline"])
    qemu = next(p for p in running if f"path={guest.engine.runtime}" in " ".join(p.info["cmdline"] or []))
    assert guest.engine.process is not None
    assert "PYTEST_CURRENT_TEST" in psutil.Process(guest.engine.process.pid).environ()
    assert "PYTEST_CURRENT_TEST" not in qemu.environ()


def test_a_port_of_the_guest_is_reached_without_one_on_the_host(guest: Guest) -> None:
    with guest.engine.stream(guest.space, "web", "portforward/22/tcp") as stream:
        assert stream.recv(10).startswith(b"SSH-2.0-")
    address = guest.engine.vmi(guest.space, "web")["status"]["interfaces"][0]["ipAddress"]
    own = [found.address for addresses in psutil.net_if_addrs().values() for found in addresses]
    assert not [found for found in own if found.startswith(address.rsplit(".", 1)[0])]
    listening = [c for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == 22 and c.pid]
    assert not [c for c in listening if str(guest.engine.runtime) in " ".join(psutil.Process(c.pid).cmdline())]


def test_a_pod_stands_for_the_machine_with_its_address(guest: Guest) -> None:
    shown = guest.engine.kubectl("get", "pods", "-n", guest.space, "-o", "wide")
    assert guest.engine.vmi(guest.space, "web")["status"]["interfaces"][0]["ipAddress"] in shown


def test_a_policy_shuts_portforward_out_of_a_machine_that_already_runs(guest: Guest) -> None:
    path = f"/apis/networking.k8s.io/v1/namespaces/{guest.space}/networkpolicies"
    deny = {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"]}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny"}, "spec": deny}
    assert guest.engine.request("POST", path, policy)[0] == 201
    until(lambda: not answers(guest.engine, guest.space), 5)
    assert "dialing VM" in refusal(guest.engine.stream, guest.space, "web", "portforward/22")[1]
    with guest.engine.stream(guest.space, "web", "vnc") as screen:
        assert screen.recv(5) == b"RFB 003.008\n"
    assert guest.engine.request("DELETE", f"{path}/deny")[0] == 200
    until(lambda: answers(guest.engine, guest.space), 5)


@pytest.mark.slow
def test_a_soft_reboot_starts_the_guest_anew_in_the_same_machine(guest: Guest) -> None:
    before = guest.engine.vmi(guest.space, "web")
    with guest.engine.stream(guest.space, "web", "console") as console:
        console.recv(5)
        assert put(guest, "softreboot") == (200, b"")
        assert b"Restarting system" in console.read_until(b"tiny is ready", 90)
    after = guest.engine.vmi(guest.space, "web")
    assert (after["metadata"]["uid"], after["status"]["phase"]) == (before["metadata"]["uid"], "Running")


def test_a_console_begins_with_the_last_output(guest: Guest) -> None:
    with guest.engine.stream(guest.space, "web", "console") as console:
        first = console.recv(5)
    assert b"tiny is ready" in first
    assert b"\x1b[6n" not in first


def test_nothing_is_lost_or_repeated_where_earlier_output_meets_the_live_one(tmp_path: Path) -> None:
    printed = [b"line %d\n" % n for n in range(2000)]

    async def viewed() -> bytes:
        seen: list[bytes] = []
        done = asyncio.Event()

        async def qemu(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for n, line in enumerate(printed):
                writer.write(line)
                if n % 100 == 0:
                    await asyncio.sleep(0)
            await writer.drain()
            writer.close()

        async def keep(data: bytes) -> None:
            seen.append(data)

        async with await asyncio.start_unix_server(qemu, tmp_path / "serial"):
            console = SerialConsole(tmp_path / "serial", tmp_path / "log")
            await console.open()
            while not (tmp_path / "log").exists():  # noqa: ASYNC110 - until the first output has come
                await asyncio.sleep(0)
            await console.attach(done.set).pump(keep)
            await console.close()
        assert not done.is_set()
        return b"".join(seen)

    assert asyncio.run(viewed()) == b"".join(printed)


def test_a_viewer_that_reads_nothing_is_cut_once_a_megabyte_waits_for_it() -> None:
    was_cut: list[bool] = []
    viewer = Viewer(b"", lambda: was_cut.append(True))
    for _ in range(16):
        viewer.feed(bytes(65536))
    assert not was_cut
    viewer.feed(b"one byte too many")
    assert was_cut


def test_a_halted_machine_can_be_started_paused(engine: EngineProcess, space: str) -> None:
    post(engine, space, seed(space), machine("web", space, strategy="Halted"))
    path = f"{SUBRESOURCES}/namespaces/{space}/virtualmachines/web/start"
    assert engine.request("PUT", path, {"paused": True})[0] == 202
    found = Guest(engine, space)
    until(lambda: condition_of(found, "web", "Paused"))
    assert "Paused" in engine.kubectl("get", "vm", "-n", space)
    assert put(found, "unpause")[0] == 200
    assert engine.kubectl("get", "vm", "web", "-n", space, "-o", "jsonpath={.spec.runStrategy}") == "Always"


def test_a_machine_waits_for_the_secret_of_its_user_data(engine: EngineProcess, space: str) -> None:
    post(engine, space, machine("web", space))
    waiting = Guest(engine, space)
    until(lambda: condition_of(waiting, "web", "Synchronized").get("reason") == "FailedMount")
    assert engine.phase(space, "web") == "Scheduling"
    post(engine, space, seed(space))
    until(lambda: engine.phase(space, "web") == "Running")


def test_options_may_be_yaml_and_a_dry_run_changes_nothing(guest: Guest) -> None:
    path = f"{SUBRESOURCES}/namespaces/{guest.space}/virtualmachineinstances/web/pause"
    api = guest.engine.api()
    headers = {"Authorization": f"Bearer {guest.engine.token}", "Content-Type": "application/yaml"}
    url = api.configuration.host + path
    answer = api.rest_client.pool_manager.request("PUT", url, headers=headers, body="dryRun:\n- All\n")
    assert (answer.status, answer.data) == (200, b"")
    assert not condition_of(guest, "web", "Paused")
    api.close()
