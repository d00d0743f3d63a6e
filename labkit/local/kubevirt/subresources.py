"""``subresources.kubevirt.io``: what can be done to a machine, and the streams into it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from labkit.local.api.paths import ResourcePath
from labkit.local.api.status import (
    ApiError,
    bad_request,
    conflict,
    forbidden,
    internal_error,
    method_not_allowed,
    no_such_path,
)
from labkit.local.controllers.keeping import Keeping
from labkit.local.controllers.launch import TROUBLE
from labkit.local.controllers.machines import Machines
from labkit.local.controllers.virtualmachines import VM, VMI
from labkit.local.kubevirt import requests
from labkit.local.kubevirt.admission import GROUP
from labkit.local.kubevirt.streams import Sessions, Stream, relay_serial, relay_socket
from labkit.local.network.segments import NetworkError
from labkit.local.objects import Obj, get_path, has_condition, name_of, uid_of
from labkit.local.qemu import agent
from labkit.local.qemu.machine import Machine, MachineError
from labkit.local.qemu.plan import has_acpi, wants
from labkit.local.store import Store

Handler = Callable[[web.Request, ResourcePath], Awaitable[web.StreamResponse]]
_READ_LIMIT = 262_144
_AGENT_SECONDS = 10.0
PUT_AWAY = "labkit-put-away"
"""Ours, not KubeVirt's: pause a machine and keep its memory in a file, so that it takes none of the computer's."""
_HARMLESS: Obj = {"guestAgentPing": {}}
"""A liveness probe, or none at all, that a paused machine does not fail."""


class Subresources:
    """All routes below a VM or VMI. Each is a row of ``_routes``."""

    def __init__(self, store: Store, machines: Machines, keeping: Keeping) -> None:
        self._store = store
        self._machines = machines
        self._keeping = keeping
        self.sessions = Sessions()
        self._routes: Mapping[tuple[str, str], tuple[str, Handler]] = {
            ("virtualmachines", "start"): ("PUT", self._change_vm(requests.start)),
            ("virtualmachines", "stop"): ("PUT", self._change_vm(requests.stop)),
            ("virtualmachines", "restart"): ("PUT", self._change_vm(requests.restart)),
            ("virtualmachines", "portforward"): ("GET", self._portforward),
            ("virtualmachines", "expand-spec"): ("GET", self._expand),
            ("virtualmachineinstances", "pause"): ("PUT", self._pause),
            ("virtualmachineinstances", "unpause"): ("PUT", self._unpause),
            ("virtualmachineinstances", PUT_AWAY): ("PUT", self._put_away),
            ("virtualmachineinstances", "softreboot"): ("PUT", self._soft_reboot),
            ("virtualmachineinstances", "reset"): ("PUT", self._reset),
            ("virtualmachineinstances", "guestosinfo"): ("GET", self._ask_guest(agent.INFO, agent.guest_info)),
            ("virtualmachineinstances", "userlist"): (
                "GET",
                self._ask_guest([("guest-get-users", {})], lambda found: _list(agent.users(found[0]))),
            ),
            ("virtualmachineinstances", "filesystemlist"): (
                "GET",
                self._ask_guest([("guest-get-fsinfo", {})], lambda found: _list(agent.filesystems(found[0]))),
            ),
            ("virtualmachineinstances", "vnc"): ("GET", self._vnc),
            ("virtualmachineinstances", "vnc/screenshot"): ("GET", self._screenshot),
            ("virtualmachineinstances", "console"): ("GET", self._console),
            ("virtualmachineinstances", "portforward"): ("GET", self._portforward),
        }

    def names(self) -> list[str]:
        """Every subresource, as discovery lists it."""
        return [f"{plural}/{name}" for plural, name in self._routes]

    async def answer(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        """Find the route and run it. ApiError 404 or 405 where there is none."""
        name = path.subresource
        if name.startswith("portforward/"):
            name = "portforward"
        found = self._routes.get((path.plural, name))
        if found is None or not path.namespace:
            raise no_such_path(f"the subresource {path.plural}/{path.subresource}")
        method, handler = found
        if request.method != method:
            raise method_not_allowed(request.method, f"{path.plural}/{name}")
        return await handler(request, path)

    # VirtualMachines

    def _change_vm(self, change: Callable[[Obj, Obj | None, Obj], None]) -> Handler:
        async def handle(request: web.Request, path: ResourcePath) -> web.StreamResponse:
            options = await _options(request)
            vmi = self._store.get(VMI, path.namespace, path.name)
            dry_run, grace = options.get("dryRun") == ["All"], requests.grace_of(options)
            self._store.update(VM, path.namespace, path.name, lambda vm: change(vm, vmi, options), dry_run=dry_run)
            if grace is not None and vmi is not None and not dry_run:
                given = {"terminationGracePeriodSeconds": grace}
                self._store.update(VMI, path.namespace, path.name, lambda new: new["spec"].update(given))
            return web.Response(status=202)

        return handle

    async def _expand(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        """The VM with what it takes from elsewhere, which is nothing: there are no instance types here."""
        return web.json_response(self._store.require(VM, path.namespace, path.name))

    # VirtualMachineInstances

    async def _pause(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        vmi = self._vmi(path)
        machine = self._running(vmi, _conflict(vmi, "VM is not running"))
        if "guestAgentPing" not in get_path(vmi, "spec.livenessProbe", _HARMLESS):
            why = "Pausing VMIs with a non-GuestAgentPing LivenessProbe is not supported"
            raise forbidden("virtualmachineinstance", GROUP, name_of(vmi), why)
        if machine.facts.paused:
            raise _conflict(vmi, "VMI is already paused")
        if not await _dry_run(request):
            await machine.pause()
            self._machines.reports.event(vmi, "Paused", "VirtualMachineInstance paused")
        return web.Response()

    async def _unpause(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        vmi = self._vmi(path)
        machine = None if self._keeping.away(vmi) else self._running(vmi, _conflict(vmi, "VMI is not running"))
        if machine and not machine.facts.paused:
            raise _conflict(vmi, "VMI is not paused")
        vm = self._store.get(VM, path.namespace, path.name)
        if get_path(vm, "status.snapshotInProgress"):
            raise _conflict(vmi, "VM snapshot is in progress")
        if await _dry_run(request):
            return web.Response()
        if machine is None:
            try:
                await self._keeping.resume(vmi)
            except TROUBLE as error:
                raise internal_error(f"{name_of(vmi)} cannot go on from what was kept of it: {error}") from error
        else:
            await machine.unpause()
            self._machines.reports.event(vmi, "Unpaused", "VirtualMachineInstance unpaused")
        return web.Response()

    async def _put_away(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        """Asked again, it does nothing."""
        vmi = self._vmi(path)
        if not self._keeping.away(vmi):
            self._running(vmi, _conflict(vmi, "VM is not running"))
        if get_path(self._store.get(VM, path.namespace, path.name), "status.snapshotInProgress"):
            raise _conflict(vmi, "VM snapshot is in progress")
        if not await _dry_run(request):
            try:
                await self._keeping.put_away(vmi)
            except (MachineError, OSError) as error:
                raise internal_error(f"{name_of(vmi)} could not be put away, and is as before: {error}") from error
        return web.Response()

    async def _soft_reboot(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        vmi = self._vmi(path)
        machine = self._running(vmi, _conflict(vmi, "VM is not running"))
        if machine.facts.paused:
            raise _conflict(vmi, "VMI is paused")
        if not machine.facts.agent and not has_acpi(vmi):
            raise _conflict(vmi, "VMI neither have the agent connected nor the ACPI feature enabled")
        await machine.soft_reboot()
        self._machines.reports.event(vmi, "SoftRebooted", "VirtualMachineInstance soft rebooted")
        return web.Response()

    async def _reset(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        vmi = self._vmi(path)
        fault = f"Failed to reset non-running VMI with phase {get_path(vmi, 'status.phase')}"
        machine = self._running(vmi, internal_error(fault))
        await machine.execute("system_reset")
        self._machines.reports.event(vmi, "Reset", "VirtualMachineInstance reset")
        return web.Response()

    def _ask_guest(self, questions: Sequence[agent.Question], shown: Callable[[list[Any]], Any]) -> Handler:
        async def handle(request: web.Request, path: ResourcePath) -> web.StreamResponse:
            vmi = self._vmi(path)
            machine = self._machines.running(vmi)
            try:
                if machine is None or not machine.facts.agent:
                    raise agent.AgentError("VMI does not have guest agent connected")
                answers = await agent.ask_all(machine.paths.agent, questions, seconds=_AGENT_SECONDS)
            except agent.AgentError as error:
                raise ApiError(500, "InternalError", str(error), plain=True) from error
            return web.json_response(shown(answers))

        return handle

    async def _screenshot(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        vmi = self._store.get(VMI, path.namespace, path.name)
        machine = self._machines.running(vmi) if vmi else None
        if vmi is None or machine is None or not wants(vmi, "autoattachGraphicsDevice"):
            why = "VMI does not exist" if vmi is None else "VMI is not running" if machine is None else "no display"
            raise ApiError(500, "InternalError", f"screenshot failed: {why}", plain=True)
        try:
            return web.Response(body=await machine.screenshot(), content_type="image/png")
        except MachineError as error:
            raise ApiError(500, "InternalError", f"screenshot failed: {error}", plain=True) from error

    # Streams

    async def _vnc(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        vmi = self._vmi(path)
        if not wants(vmi, "autoattachGraphicsDevice"):
            raise bad_request("No graphics devices are present.")
        machine = self._running(vmi, bad_request("VMI is not running"))
        key = (uid_of(vmi), "vnc")
        if request.query.get("preserveSession") == "true" and self.sessions.busy(key):
            text = "Active VNC connection. Request denied."
            raise internal_error(
                f"Can't connect to websocket (503): websocket: bad handshake, application info: {text}"
            )
        async with self.sessions.taken_over(key, request) as stream:
            try:
                reader, writer = await asyncio.open_unix_connection(str(machine.paths.vnc), limit=_READ_LIMIT)
                await relay_socket(stream, reader, writer)
            except OSError:
                stream.cut()  # As on KubeVirt, which has shaken hands before it looks for the screen.
        return stream.socket

    async def _console(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        vmi = self._vmi(path)
        if not wants(vmi, "autoattachSerialConsole"):
            raise bad_request("No serial consoles are present.")
        if get_path(vmi, "status.phase") == "Failed":
            raise _conflict(vmi, "VMI is in failed status")
        machine = self._running(vmi, bad_request("VMI is not running"))
        async with self.sessions.taken_over((uid_of(vmi), "console"), request) as stream:
            if machine.serial is not None:
                await relay_serial(stream, machine.serial)
        return stream.socket

    async def _portforward(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        port, protocol = _port(path.subresource)
        if path.plural == "virtualmachines":
            vm = self._store.require(VM, path.namespace, path.name)
            if self._store.get(VMI, path.namespace, path.name) is None:
                raise requests.refused(vm, "VMI is not started")
        vmi = self._vmi(path)
        if has_condition(vmi, "Paused"):
            raise _conflict(vmi, "VMI is paused")
        interfaces: list[Obj] = get_path(vmi, "status.interfaces", [])
        if protocol != "tcp":
            raise bad_request(f"the embedded engine forwards tcp only, not {protocol}")
        if not interfaces or not interfaces[0].get("ipAddress"):
            raise bad_request("no network interfaces are present")
        try:
            reader, writer = await self._machines.dial(vmi, port)
        except (NetworkError, OSError) as error:
            raise internal_error(f"dialing VM: {error}") from error
        try:
            stream = await Stream.accept(request, ping=True)
            await relay_socket(stream, reader, writer)
        finally:
            writer.close()
        return stream.socket

    # Looking up

    def _vmi(self, path: ResourcePath) -> Obj:
        return self._store.require(VMI, path.namespace, path.name)

    def _running(self, vmi: Obj, otherwise: ApiError) -> Machine:
        machine = self._machines.running(vmi)
        if machine is None or get_path(vmi, "status.phase") != "Running":
            raise otherwise
        return machine


def _conflict(vmi: Obj, why: str) -> ApiError:
    return conflict("virtualmachineinstance", GROUP, name_of(vmi), why)


def _port(subresource: str) -> tuple[int, str]:
    parts = subresource.split("/")[1:]
    if not parts or len(parts) > 2 or not parts[0].isdigit() or not 0 < int(parts[0]) < 65536:
        raise bad_request(f"'{subresource}' does not name a port: portforward/22 or portforward/22/tcp")
    return int(parts[0]), parts[1] if len(parts) == 2 else "tcp"


def _list(items: list[Obj]) -> Obj:
    return {"metadata": {}, "items": items}


async def _options(request: web.Request) -> Obj:
    """The optional body, JSON or YAML."""
    try:
        found: Any = YAML(typ="safe").load(await request.text())
    except (YAMLError, UnicodeDecodeError) as error:
        raise bad_request(f"the body is neither JSON nor YAML: {error}") from error
    if not isinstance(found, dict | None):
        raise bad_request("the body is not an object")
    return found or {}


async def _dry_run(request: web.Request) -> bool:
    return bool((await _options(request)).get("dryRun") == ["All"])
