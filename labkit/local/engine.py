"""The engine as a whole: what is built in which order, and how it ends."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from aiohttp import web

from labkit.local import doctor, endpoint
from labkit.local.access.defaults import Defaults
from labkit.local.access.guard import Guard
from labkit.local.access.reviews import Reviews
from labkit.local.access.rights import Rights
from labkit.local.access.tokens import Tokens
from labkit.local.controllers.containers import Containers
from labkit.local.controllers.events import Recorder
from labkit.local.controllers.housekeeping import Garbage, Namespaces
from labkit.local.controllers.keeping import Keeping
from labkit.local.controllers.launch import Launcher
from labkit.local.controllers.machines import Machines
from labkit.local.controllers.networks import Networks
from labkit.local.controllers.quotas import Quotas
from labkit.local.controllers.virtualmachines import VirtualMachines
from labkit.local.files import make_private
from labkit.local.journal import JournalError
from labkit.local.kubevirt.subresources import Subresources
from labkit.local.network.plain import PlainSegments
from labkit.local.network.segments import Segments
from labkit.local.paths import LONGEST_RUNTIME_DIR, EnginePaths
from labkit.local.pods.routes import Pods
from labkit.local.qemu import accel
from labkit.local.server import Server
from labkit.local.storage.claims import Claims
from labkit.local.storage.provisioning import Provisioner
from labkit.local.storage.snapshots import Restores, Snapshots
from labkit.local.store import Store
from labkit.local.table import KINDS
from labkit.local.warm.routes import WarmRoutes
from labkit.local.warm.shelf import Limits
from labkit.local.warm.spares import Spares
from labkit.local.warm.warm import Warm

log = logging.getLogger(__name__)

_SHUTDOWN_SECONDS = 2.0
_IDLE_SECONDS = 90.0
_OPEN_FILES = 16384


class EngineError(Exception):
    """The engine cannot run: one sentence with the remedy."""


@dataclass(frozen=True)
class Options:
    """What the command line says. ``acceleration`` None means: find out; ``warm`` None: every start is cold.

    ``spares`` is the number of sets of machines to keep parked after recent demand.
    """

    paths: EnginePaths
    port: int = 0
    acceleration: str | None = None
    exit_with_parent: bool = False
    import_from_anywhere: bool = False
    network: str = "auto"
    """``private`` or ``plain``; ``auto`` means: private where this computer can."""
    warm: Limits | None = None
    spares: int = 0


def run(options: Options) -> None:
    """Serve until SIGTERM, SIGINT, or (if asked) the end of standard input; machines run on. Raises EngineError."""
    paths = options.paths
    _check(paths)
    make_private(paths.engine)
    make_private(paths.runtime)
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed < _OPEN_FILES <= most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, most))
    locks = [_lock(folder) for folder in (paths.engine, paths.runtime)]
    try:
        asyncio.run(_serve(options))
    except (endpoint.EndpointError, JournalError) as error:
        raise EngineError(str(error)) from error
    finally:
        for descriptor in locks:
            os.close(descriptor)


def _check(paths: EnginePaths) -> None:
    for folder in (paths.state, paths.runtime, paths.images):
        if not folder.is_absolute() or "," in str(folder):
            raise EngineError(f"'{folder}' must be an absolute path without a comma")
    if len(str(paths.runtime)) > LONGEST_RUNTIME_DIR:
        raise EngineError(
            f"the runtime folder '{paths.runtime}' is longer than {LONGEST_RUNTIME_DIR} characters, too long for "
            "the sockets in it: choose a shorter one with --runtime-dir"
        )


def _lock(folder: Path) -> int:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise EngineError(f"another engine runs on '{folder}': stop it first, or choose another folder") from error
    return descriptor


async def _serve(options: Options) -> None:
    paths = options.paths
    stop = _stop_event(options.exit_with_parent)
    acceleration = await asyncio.to_thread(accel.choose, paths.engine / "accel.json", options.acceleration)
    log.info("acceleration: %s (%s)", acceleration.name, acceleration.reason)

    store = Store(paths.objects, KINDS)
    quotas = Quotas(store)
    recorder = Recorder(store)
    segments = await _segments(options, lambda uid, line: machines.command(uid, line))
    namespaces, garbage = Namespaces(store), Garbage(store)
    networks = Networks(store, segments, recorder)
    virtual_machines = VirtualMachines(store, recorder)
    claims = Claims(store, paths)
    provisioner = Provisioner(store, recorder, claims, paths, options.import_from_anywhere)
    launcher = Launcher(store, segments, networks, claims, paths, acceleration.name)
    warm = Warm(paths, acceleration.name, options.warm)
    await warm.start()
    spares = Spares(paths, segments, launcher, warm, options.spares, psutil.virtual_memory().total // 4)
    machines = Machines(store, recorder, segments, launcher, paths, acceleration.name, warm, spares)
    store.uid_for = machines.uid_for
    keeping = Keeping(store, machines, launcher, paths)
    snapshots = Snapshots(store, recorder, claims, machines, keeping)
    restores = Restores(store, recorder, claims, keeping)
    subresources = Subresources(store, machines, keeping)

    containers = Containers(store, recorder, segments, networks, paths)
    pods = Pods(store, paths, containers)
    own = WarmRoutes(store, warm, spares, acceleration.name)
    bearer = endpoint.token(paths.engine)
    rights, tokens, defaults = Rights(store), Tokens(store, paths.engine / "tokens.key"), Defaults(store)
    guard = Guard(rights, tokens, bearer)
    reviews = Reviews(store, rights, tokens)
    context, certificate = endpoint.tls(paths.engine)
    listener = endpoint.listen(paths.engine, options.port)
    port = listener.getsockname()[1]
    endpoint.announce(paths.engine, port, certificate, bearer)
    runner = _runner(Server(store, subresources, guard, {**reviews.routes(), **pods.routes()}, own.routes()))
    await runner.setup()
    await containers.start()
    await machines.start()
    spares.start()
    controllers = (
        quotas, recorder, namespaces, defaults, garbage, networks, virtual_machines, provisioner, snapshots, restores
    )  # fmt: skip
    for controller in controllers:
        controller.start()
    await web.SockSite(runner, listener, ssl_context=context).start()
    log.info("serving on https://%s:%s", endpoint.HOST, port)

    await stop.wait()
    subresources.sessions.close()
    await runner.cleanup()
    for controller in controllers:
        await controller.queue.close()
    await spares.close()
    await warm.close()
    await machines.close()
    await containers.close()
    await store.close()


async def _segments(options: Options, command: Callable[[str, str], Awaitable[str]]) -> Segments:
    """The networks as asked for. ``command`` is for those that are made by each machine's QEMU."""
    lacking = (await asyncio.to_thread(doctor.private_network))[0] if options.network == "auto" else ""
    if options.network == "plain" or lacking:
        log.warning("no private networks, so each machine is alone: %s", lacking or "as was asked for")
        return PlainSegments(options.paths, command)
    return Segments(options.paths)


def _runner(server: Server) -> web.AppRunner:
    return web.AppRunner(
        server.application(),
        access_log=None,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        keepalive_timeout=_IDLE_SECONDS,
        handler_cancellation=False,
    )


def _stop_event(with_parent: bool) -> asyncio.Event:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def parent_said_something() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            stop.set()

    if with_parent:
        loop.add_reader(sys.stdin.fileno(), parent_said_something)
    return stop
