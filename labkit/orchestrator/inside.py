"""Into a machine: a VM over SSH and KubeVirt's portforward, a container over its pod's exec and ports."""

from __future__ import annotations

from collections.abc import Callable

from labkit.cluster.client import Cluster
from labkit.cluster.podexec import run_in_pod
from labkit.cluster.portforward import PortForward, open_pod_port, open_port
from labkit.cluster.streams import StreamTarget
from labkit.errors import ClusterError, MachineUnreachable
from labkit.manifests import names
from labkit.orchestrator import ssh
from labkit.orchestrator.access import Access
from labkit.orchestrator.ssh import OUTPUT_LIMIT, Completed
from labkit.templates import Machine


def run(
    cluster: Cluster,
    access: Access,
    machine: Machine,
    command: str,
    *,
    stdin: str = "",
    timeout: float,
    still: Callable[[], None] = lambda: None,
) -> Completed:
    """Run a shell command as root in a machine, and wait for its end, `timeout` seconds at most.

    `still` is called all the while in a VM, and before in a container: what it raises ends the command. Raises
    MachineUnreachable.
    """
    if machine.type == "vm":
        return ssh.run(cluster, access, machine.name, command, stdin=stdin, timeout=timeout, still=still)
    still()
    try:
        done = run_in_pod(
            cluster.api,
            names.namespace_of(access.lab),
            machine.name,
            ("sh", "-c", command),
            stdin=stdin.encode(),
            timeout=timeout,
            limit=OUTPUT_LIMIT,
        )
    except ClusterError as error:
        raise MachineUnreachable(f"no command can be run in machine {machine.name} at the moment") from error
    return Completed(done.status, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def port_target(cluster: Cluster, lab: str, machine: Machine, port: int) -> StreamTarget:
    """Where a TCP port of a machine is to be opened. Asks nothing of the engine."""
    where = names.namespace_of(lab)
    if machine.type == "vm":
        return cluster.stream_target(where, machine.name, f"portforward/{port}")
    return cluster.pod_port_target(where, machine.name, port)


def open_machine_port(cluster: Cluster, lab: str, machine: Machine, port: int, *, timeout: float) -> PortForward:
    """A stream to a TCP port of a machine that has reported an address. Raises ClusterError."""
    opened = open_port if machine.type == "vm" else open_pod_port
    return opened(cluster.api, names.namespace_of(lab), machine.name, port, timeout)
