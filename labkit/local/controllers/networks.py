"""Keeps each network's machines, addresses, names and filter as the stored objects say."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

import psutil

from labkit.local.controllers.events import Recorder
from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.controllers.virtualmachines import VMI
from labkit.local.network.filter import compile_filter
from labkit.local.network.names import Member, mac_of, names
from labkit.local.network.segments import NetworkError, Segments, UplinkError
from labkit.local.objects import Obj, name_of, namespace_of, uid_of
from labkit.local.qemu.plan import mac_address
from labkit.local.store import Change, Store

log = logging.getLogger(__name__)

_POLICIES = "networkpolicies.networking.k8s.io"
_WATCHED = ("services", "pods", _POLICIES, VMI)
_RETRY_SECONDS = 2.0
_RTMGRP_IPV4_IFADDR = 0x10


class Networks:
    """The controller."""

    def __init__(self, store: Store, segments: Segments, recorder: Recorder) -> None:
        self._store = store
        self._segments = segments
        self._recorder = recorder
        self.queue = WorkQueue("network", self.reconcile)
        store.listen(self._on_change)
        segments.lost = self.start
        # The computer's own addresses are kept from every machine; the kernel says when they change.
        self._addresses = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        self._addresses.bind((0, _RTMGRP_IPV4_IFADDR))
        asyncio.get_running_loop().add_reader(self._addresses, self._on_address)

    def start(self) -> None:
        """Look at every namespace once."""
        for namespace in self._store.all("namespaces"):
            self.queue.add(("", name_of(namespace)))

    def _on_address(self) -> None:
        # What changed is not read: where the kernel had more to say than fits (ENOBUFS), that too is a change.
        with contextlib.suppress(OSError):
            self._addresses.recv(65536)
        self.start()

    def _on_change(self, change: Change) -> None:
        if change.kind in _WATCHED:
            self.queue.add(("", namespace_of(change.obj)))

    async def reconcile(self, key: Key) -> float | None:
        """One namespace's network."""
        try:
            await self.settle(key[1])
        except NetworkError as error:
            self._complain(key[1], str(error))
            return _RETRY_SECONDS
        return None

    async def settle(self, space: str) -> None:
        """Bring one network up to date, before a machine hears anything on it. Raises NetworkError."""
        namespace = self._store.get("namespaces", "", space)
        if namespace is None:
            return
        pods, vmis = self._store.all("pods", space), {uid_of(vmi): vmi for vmi in self._store.all(VMI, space)}
        members = [found for pod in pods if (found := self._member(uid_of(namespace), pod, vmis))]
        labels = namespace["metadata"].get("labels", {})
        specs = [policy["spec"] for policy in self._store.all(_POLICIES, space)]
        own = [a.address for found in psutil.net_if_addrs().values() for a in found if a.family == socket.AF_INET]
        try:
            await self._segments.configure(
                uid_of(namespace),
                space,
                members,
                names(self._store.all("services", space), pods),
                lambda gateway: compile_filter(gateway, labels, members, specs, own),
            )
        except UplinkError as error:
            self._complain(space, str(error))

    def _member(self, network: str, pod: Obj, vmis: dict[str, Obj]) -> Member | None:
        """The machine behind a pod, once it has an address."""
        owners = (owner["uid"] for owner in pod["metadata"].get("ownerReferences", []))
        uid = next((owner for owner in owners if owner in vmis), uid_of(pod))
        ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
        address = self._segments.address(network, uid)
        if address is None:
            return None
        return Member(
            port=self._segments.port(uid),
            mac=mac_address(vmis[uid], mac_of(uid)) if uid in vmis else mac_of(uid),
            address=address,
            labels=pod["metadata"].get("labels", {}),
            ports={(port.get("name"), port.get("protocol", "TCP")): port["containerPort"] for port in ports},
        )

    def _complain(self, space: str, message: str) -> None:
        log.info("network of %s: %s", space, message)
        for member in (*self._store.all(VMI, space), *self._store.all("pods", space)):
            self._recorder.record(member, "NetworkNotReady", message, warning=True)
