"""``pods/log``, ``pods/exec`` and ``pods/portforward``."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from aiohttp import web

from labkit.local import logs
from labkit.local.api.paths import ResourcePath
from labkit.local.api.status import ApiError, bad_request, method_not_allowed
from labkit.local.controllers.containers import Containers
from labkit.local.kubevirt.vmi_status import FINAL
from labkit.local.objects import Obj, controller_uid, get_path, name_of, namespace_of, parse_time
from labkit.local.paths import EnginePaths
from labkit.local.pods import channels, portforward, process, sandbox
from labkit.local.pods.spec import containers_of, stands_for_machine
from labkit.local.pods.status import KINDS
from labkit.local.store import Store

_YES = ("true", "1")
Handler = Callable[[web.Request, ResourcePath], Awaitable[web.StreamResponse]]


class Pods:
    """Answers for pods: those that stand for machines, and those of containers."""

    def __init__(self, store: Store, paths: EnginePaths, containers: Containers) -> None:
        self._store = store
        self._paths = paths
        self._containers = containers

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """What the server asks here, by kind and subresource."""
        return {("pods", "log"): self.log, ("pods", "exec"): self.exec, ("pods", "portforward"): self.forward}

    async def log(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        """GET: a container's log, and what is added to it where ``follow`` is asked for. ApiError 400 or 404."""
        if request.method != "GET":
            raise method_not_allowed(request.method, "pods/log")
        pod = self._store.require("pods", path.namespace, path.name)
        container, query = _container(pod, request), request.query
        previous = query.get("previous") in _YES
        if stands_for_machine(pod):
            file, going = self._machine_log(pod, container)
        else:
            file, going = self._containers.log(pod, container, previous=previous)
        chosen, following = _selection(query), query.get("follow") in _YES
        if previous and (stands_for_machine(pod) or not file.exists()):
            raise bad_request(f'previous terminated container "{container}" in pod "{path.name}" not found')
        if not file.exists():
            raise bad_request(
                f'container "{container}" in pod "{path.name}" is waiting to start: {_reason(pod, container)}'
            )

        def more() -> bool:
            listening = request.transport is not None and not request.transport.is_closing()
            return following and listening and going()

        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        try:
            async for text in logs.read(file, chosen, more):
                await response.write(text)
            await response.write_eof()
        except ConnectionError:
            pass  # The reader has gone, which is how following a log ends.
        return response

    def _machine_log(self, pod: Obj, container: str) -> tuple[Path, Callable[[], bool]]:
        folder = self._paths.machine(controller_uid(pod) or "").logs

        def going() -> bool:
            now = self._store.get("pods", namespace_of(pod), name_of(pod))
            return now is not None and get_path(now, "status.phase") not in FINAL

        return folder / ("console.log" if container == "guest-console-log" else "qemu.log"), going

    async def forward(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        """GET or POST, upgraded: connections to a pod's ports. ApiError 400 or 404."""
        pod = self._store.require("pods", path.namespace, path.name)
        if (phase := get_path(pod, "status.phase")) != "Running":
            raise bad_request(f"unable to forward port because pod is not running. Current status={phase}")
        return await portforward.forward(request, partial(self._containers.dial, pod))

    async def exec(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        """GET or POST, upgraded: run a command in a container. ApiError 400, 404 or 501."""
        pod = self._store.require("pods", path.namespace, path.name)
        container, query = _container(pod, request), request.query
        channels.check(request, channels.PROTOCOLS, "use kubectl 1.31 or later")
        command = query.getall("command", [])
        if not command:
            raise bad_request("you must specify at least one command for the container")
        wanted = {name: query.get(name) in _YES for name in ("stdin", "tty")}
        line = self._exec_line(pod, container, command, tty=wanted["tty"])
        accepted = await channels.Channels.accept(request, channels.PROTOCOLS)
        await channels.run(accepted, await process.start(line, **wanted))
        return accepted.socket

    def _exec_line(self, pod: Obj, container: str, command: list[str], *, tty: bool) -> list[str]:
        if not stands_for_machine(pod):
            line = self._containers.exec_line(pod, container, command, tty=tty)
            if line is None:
                raise bad_request(f'container not found ("{container}"): it is not running: {_reason(pod, container)}')
            return line
        folder = self._folder(pod, container)
        if shutil.which(sandbox.BINARY) is None:
            why = f"'{sandbox.BINARY}' is not installed: run 'apt-get install {sandbox.PACKAGE}'"
            raise ApiError(501, "NotImplemented", why)
        return sandbox.command_line(command, folder, name_of(pod))

    def _folder(self, pod: Obj, container: str) -> Path:
        if (phase := get_path(pod, "status.phase")) != "Running":
            raise bad_request(f'container "{container}" of pod "{name_of(pod)}" cannot be used: the pod is {phase}')
        return self._paths.machine(controller_uid(pod) or "").logs


def _reason(pod: Obj, container: str) -> str:
    states = [
        item["state"] for _, key in KINDS for item in get_path(pod, f"status.{key}", []) if item["name"] == container
    ]
    return next((str(found.get("reason")) for state in states for found in state.values()), "ContainerCreating")


def _container(pod: Obj, request: web.Request) -> str:
    names = [str(container["name"]) for container in containers_of(pod["spec"])]
    wanted = request.query.get("container") or (names[-1] if len(pod["spec"]["containers"]) == 1 else "")
    if wanted in names:
        return wanted
    fault = f'container "{wanted}" is not valid for pod' if wanted else "a container name must be specified for pod"
    raise bad_request(f"{fault} {name_of(pod)}, choose one of: [{' '.join(names)}]")


def _selection(query: Mapping[str, str]) -> logs.Selection:
    numbers: dict[str, int | None] = {}
    for key in ("tailLines", "sinceSeconds", "limitBytes"):
        text = query.get(key)
        if text is not None and not text.isdigit():
            raise bad_request(f"{key} '{text}' is not a number")
        numbers[key] = None if text is None else int(text)
    seconds, since = numbers["sinceSeconds"], None
    if seconds is not None:
        since = datetime.now(UTC) - timedelta(seconds=seconds)
    elif text := query.get("sinceTime"):
        try:
            since = parse_time(text)
        except ValueError as error:
            raise bad_request(f"sinceTime '{text}' is not a time") from error
    return logs.Selection(numbers["tailLines"], since, numbers["limitBytes"], query.get("timestamps") in _YES)
