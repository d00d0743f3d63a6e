"""Commands in machines, over SSH through `portforward`. The only user of paramiko.

The machine's host key was drawn by labkit and given to the machine, so the first connection already knows it; the
client key is the lab's check key, which no learner holds.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import paramiko

from labkit.cluster.client import Cluster
from labkit.cluster.portforward import open_port
from labkit.errors import ClusterError, LabkitError
from labkit.manifests import names
from labkit.orchestrator.access import Access, public_line

OUTPUT_LIMIT = 16 * 1024
_CONNECT_SECONDS = 15.0


class MachineUnreachable(LabkitError):
    """No SSH session could be had; the text says why, in a sentence for the learner."""


@dataclass(frozen=True)
class Completed:
    """A command that has ended. `status` is None where it was cut off by time; outputs hold 16 KiB each at most."""

    status: int | None
    stdout: str
    stderr: str


def run(
    cluster: Cluster,
    access: Access,
    machine: str,
    command: str,
    *,
    stdin: str = "",
    timeout: float,
    still: Callable[[], None] = lambda: None,
) -> Completed:
    """Run a shell command as root in a machine, and wait for its end, `timeout` seconds at most.

    `still` is called all the while: what it raises ends the command. Raises MachineUnreachable.
    """
    namespace = names.namespace_of(access.lab)
    try:
        stream = open_port(cluster.api, namespace, machine, names.SSH_PORT, timeout=_CONNECT_SECONDS)
    except ClusterError as error:
        raise MachineUnreachable(f"machine {machine} cannot be reached at the moment") from error
    transport = None
    try:
        transport = paramiko.Transport(cast(socket.socket, stream))
        transport.start_client(timeout=_CONNECT_SECONDS)
        _same_host(transport, access.host_key(machine), machine)
        key = paramiko.Ed25519Key.from_private_key(io.StringIO(access.check_key))
        transport.auth_publickey("root", key)
        channel = transport.open_session(timeout=_CONNECT_SECONDS)
        channel.exec_command(command)
        return _collect(channel, stdin.encode(), time.monotonic() + timeout, still)
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise MachineUnreachable(f"machine {machine} does not answer over SSH at the moment") from error
    finally:
        if transport is not None:
            transport.close()
        stream.close()


def _same_host(transport: paramiko.Transport, private: str, machine: str) -> None:
    expected = public_line(private).split()[:2]
    found = transport.get_remote_server_key()
    if [found.get_name(), found.get_base64()] != expected:
        raise MachineUnreachable(f"machine {machine} shows another host key than the one it was given")


def _collect(channel: paramiko.Channel, stdin: bytes, deadline: float, still: Callable[[], None]) -> Completed:
    """Feed the command and read both its outputs until it ends, its time is up, or both limits are reached."""
    channel.settimeout(max(deadline - time.monotonic(), 0.1))
    channel.sendall(stdin)
    channel.shutdown_write()
    outputs = {"out": bytearray(), "err": bytearray()}
    while time.monotonic() < deadline:
        heard = False
        if channel.recv_ready():
            heard |= _take(channel.recv(OUTPUT_LIMIT), outputs["out"])
        if channel.recv_stderr_ready():
            heard |= _take(channel.recv_stderr(OUTPUT_LIMIT), outputs["err"])
        if not heard and channel.exit_status_ready() and not channel.recv_ready() and not channel.recv_stderr_ready():
            break
        if not heard:
            still()
            channel.status_event.wait(0.02)
    status = channel.recv_exit_status() if channel.exit_status_ready() else None
    return Completed(status, _text(outputs["out"]), _text(outputs["err"]))


def _take(data: bytes, into: bytearray) -> bool:
    into += data[: max(OUTPUT_LIMIT - len(into), 0)]
    return bool(data)


def _text(data: bytearray) -> str:
    return data.decode(errors="replace")
