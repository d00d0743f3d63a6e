"""The pod that stands for a machine: its logs, and commands run in it, with the real kubectl and a plain WebSocket."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pty
import select
import ssl
import subprocess
import time
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from labkit.local.pods.sandbox import command_line
from tests.local.conftest import Guest
from tests.support.engine import until
from tests.support.streams import Stream, open_stream

CONSOLE = "guest-console-log"


def pod_of(guest: Guest) -> str:
    """The name of the guest's pod."""
    return guest.engine.kubectl("get", "pods", "-n", guest.space, "-l", "app=web", "-o", "name").strip()


def kubectl(guest: Guest, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """The real kubectl, its outputs apart."""
    line = guest.engine.kubectl_command("-n", guest.space, *words)
    return subprocess.run(line, capture_output=True, timeout=60, **options)


def execute(guest: Guest, *command: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """A command in the pod."""
    return kubectl(guest, "exec", "-i", pod_of(guest), "-c", "compute", "--", *command, **options)


def channel(guest: Guest, *protocols: str, **query: Any) -> Stream:
    """A WebSocket to the pod's exec."""
    cluster = json.loads(guest.engine.kubeconfig.read_text())["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    path = f"/api/v1/namespaces/{guest.space}/pods/{pod_of(guest).removeprefix('pod/')}/exec"
    return open_stream(
        f"{cluster['server'].replace('https', 'wss')}{path}?{urlencode({'container': 'compute', **query}, doseq=True)}",
        ssl=ssl.create_default_context(cadata=authority),
        subprotocols=protocols or None,
        additional_headers={"Authorization": f"Bearer {guest.engine.token}"},
    )


def everything(stream: Stream) -> dict[int, bytes]:
    """What comes on each channel until the end."""
    found: dict[int, bytes] = {}
    try:
        while True:
            message = stream.recv(20)
            found[message[0]] = found.get(message[0], b"") + message[1:]
    except ConnectionClosed:
        return found


# Logs


def test_the_pod_has_a_container_for_the_machine_and_one_for_its_console(guest: Guest) -> None:
    names = kubectl(guest, "get", pod_of(guest), "-o", "jsonpath={.spec.containers[*].name}").stdout
    assert names.decode().split() == ["compute", CONSOLE]


def test_the_console_log_is_what_the_machine_printed_and_compute_what_the_engine_says(guest: Guest) -> None:
    assert b"tiny is ready" in kubectl(guest, "logs", pod_of(guest), "-c", CONSOLE).stdout
    assert b"VirtualMachineInstance started." in kubectl(guest, "logs", pod_of(guest)).stdout


def test_lines_are_chosen_by_number_time_and_size(guest: Guest) -> None:
    def log(*options: str) -> bytes:
        return kubectl(guest, "logs", pod_of(guest), "-c", CONSOLE, *options).stdout

    every = log()
    assert log("--tail=2") == b"\n".join(every.split(b"\n")[-2:])
    assert log("--limit-bytes=7") == every[:7]
    assert log("--since-time=2000-01-01T00:00:00Z") == every
    assert log("--since-time=2100-01-01T00:00:00Z") == b""
    assert log("--timestamps", "--tail=1").startswith(time.strftime("%Y-", time.gmtime()).encode())


def test_a_followed_log_goes_on(guest: Guest) -> None:
    line = guest.engine.kubectl_command("-n", guest.space)
    command = [*line, "logs", "-f", "--tail=0", pod_of(guest), "-c", CONSOLE]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        try:
            with guest.engine.stream(guest.space, "web", "console") as console:
                until(lambda: console.send(b"\r") or select.select([following.stdout], [], [], 1)[0])
            assert b"login:" in os.read(following.stdout.fileno(), 65536)
        finally:
            following.kill()


def test_containers_that_are_not_there_are_refused_by_naming_those_that_are(guest: Guest) -> None:
    path = f"/api/v1/namespaces/{guest.space}/{pod_of(guest).replace('pod/', 'pods/')}"
    for query in ("?container=nope", "", "?container=compute&previous=true"):
        code, body = guest.engine.request("GET", f"{path}/log{query}")
        assert (code, json.loads(body)["reason"]) == (400, "BadRequest")
    assert b"[compute guest-console-log]" in guest.engine.request("GET", f"{path}/exec?container=nope")[1]


# Commands


def test_outputs_are_apart_and_the_exit_status_comes_through(guest: Guest) -> None:
    done = execute(guest, "sh", "-c", "echo out; echo fault >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr.splitlines()[0]) == (3, b"out\n", b"fault")


def test_ten_megabytes_go_in_and_come_back_whole(guest: Guest) -> None:
    data = os.urandom(10 * 2**20)
    digest = hashlib.sha256(data).hexdigest().encode()
    assert execute(guest, "sha256sum", input=data).stdout.split()[0] == digest
    assert hashlib.sha256(execute(guest, "cat", input=data).stdout).hexdigest().encode() == digest


def test_the_container_sees_the_machines_logs_and_nothing_of_the_host(guest: Guest) -> None:
    script = "ls /; grep -c . /proc/net/dev; id -u; hostname; ls /proc | grep -c '^[0-9]'; cat /var/log/machine/*"
    shown = execute(guest, "sh", "-c", script).stdout.decode().splitlines()
    assert set(shown[:8]) == {"bin", "dev", "lib", "lib64", "proc", "sbin", "tmp", "usr"}
    assert shown[8] == "var"
    assert shown[9:12] == ["3", "107", pod_of(guest).removeprefix("pod/")]  # two headings and lo
    assert int(shown[12]) < 8
    assert execute(guest, "touch", "/usr/x", "/var/log/machine/x").returncode == 1


def test_a_terminal_has_the_size_that_it_is_given(guest: Guest) -> None:
    command = ["sh", "-c", "read _; stty size; exit 4"]
    with channel(guest, "v5.channel.k8s.io", command=command, stdin="true", stdout="true", tty="true") as stream:
        stream.send(b'\x04{"Width":91,"Height":37}')
        stream.send(b"\x00\n")
        found = everything(stream)
    assert b"37 91" in found[1]
    assert json.loads(found[3])["details"]["causes"] == [{"reason": "ExitCode", "message": "4"}]


def test_kubectl_gives_a_real_terminal(guest: Guest) -> None:
    ours, theirs = pty.openpty()
    line = guest.engine.kubectl_command("-n", guest.space)
    done = subprocess.run(
        [*line, "exec", "-it", pod_of(guest), "--", "sh", "-c", "test -t 0 && exit 5"],
        stdin=theirs, stdout=theirs, stderr=theirs, timeout=30,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 5


@pytest.mark.parametrize("version", ["v4", "v5"])
def test_both_protocols_number_their_channels(guest: Guest, version: str) -> None:
    with channel(guest, f"{version}.channel.k8s.io", command=["sh", "-c", "echo a; echo b >&2"]) as stream:
        assert stream.subprotocol == f"{version}.channel.k8s.io"
        found = everything(stream)
    assert (found[1], found[2], json.loads(found[3])["status"]) == (b"a\n", b"b\n", "Success")


def test_in_the_fifth_version_the_input_can_be_ended(guest: Guest) -> None:
    with channel(guest, "v5.channel.k8s.io", command="cat", stdin="true") as stream:
        stream.send(b"\x00last words")
        stream.send(b"\xff\x00")
        assert everything(stream)[1] == b"last words"


def test_other_protocols_are_refused_and_websocket_is_named(guest: Guest) -> None:
    with pytest.raises(InvalidStatus) as refused:
        channel(guest, "channel.k8s.io", command="true")
    assert refused.value.response.status_code == 400
    path = f"/api/v1/namespaces/{guest.space}/{pod_of(guest).replace('pod/', 'pods/')}/exec?container=compute&command=a"
    code, body = guest.engine.request("POST", path, None, Connection="Upgrade", Upgrade="SPDY/3.1")
    assert code == 400
    assert b"over WebSocket only" in body


def test_a_client_that_goes_away_takes_its_command_with_it(guest: Guest) -> None:
    with channel(guest, "v4.channel.k8s.io", command=["sleep", "98765"]):
        until(lambda: _running("98765"))
    until(lambda: not _running("98765"))


def _running(mark: str) -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if mark in (p.info["cmdline"] or [])]


def test_a_killed_engine_leaves_no_command(guest: Guest) -> None:
    try:
        with channel(guest, "v4.channel.k8s.io", command=["sleep", "87654"]):
            # The command itself, not yet the sandbox, whose line has the same words: it is tied to the engine by then.
            until(lambda: any(psutil.Process(pid).name() == "sleep" for pid in _running("87654")))
            guest.engine.kill()
            until(lambda: not _running("87654"))
    finally:
        guest.engine.start()


def test_a_command_that_outlived_its_engine_is_ended_by_the_next(guest: Guest) -> None:
    logs = next((guest.engine.state / "engine/machines").glob("*/logs"))
    left = subprocess.Popen(command_line(["sleep", "87655"], logs, "left"))
    guest.engine.kill()
    guest.engine.start()
    assert left.wait(10) != 0
