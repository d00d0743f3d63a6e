"""The gateway's process: listeners, signals, and the order in which all of it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvloop

from labkit.cluster.client import Cluster, chosen, uses_service_account
from labkit.gateway.application import Application
from labkit.gateway.dial import Dial
from labkit.gateway.embedders import Embedders
from labkit.gateway.engine import Engine
from labkit.gateway.files import FileLimits, Files
from labkit.gateway.front import Front
from labkit.gateway.handover import beside, take_over
from labkit.gateway.http import Connection
from labkit.gateway.keys import TicketKeys, terminal_key
from labkit.gateway.metrics import Metrics
from labkit.gateway.origins import Origins
from labkit.gateway.pages import StaticFiles
from labkit.gateway.panes import Panes
from labkit.gateway.sites import Sites
from labkit.gateway.sockets import loopback_listener, unix_listener
from labkit.gateway.streams import Streams
from labkit.gateway.tunnels import Limits, Tunnels, watch
from labkit.gateway.use import Uses
from labkit.settings import Settings

log = logging.getLogger(__name__)

_GRACE_SECONDS = 3.0


def run(settings: Settings, *, socket: Path, port: int | None, exit_with_parent: bool, web: Path | None = None) -> None:
    """Serve on the unix socket `socket` and, unless `port` is None, on 127.0.0.1:`port` (0: any free port); what is no
    page of the gateway's is asked of the web application at the unix socket `web`, where there is one.

    Returns after SIGTERM, SIGINT or, with `exit_with_parent`, the end of standard input. Raises SetupError where it
    cannot listen. Which engine: see `cluster.client.chosen`.
    """
    with contextlib.ExitStack() as stack:
        handed = stack.enter_context(unix_listener(beside(socket)))
        listeners = [(stack.enter_context(unix_listener(socket)), False)]
        if port is not None:
            listener = stack.enter_context(loopback_listener(port, settings.gateway_endpoint))
            listeners.append((listener, True))
            port = int(listener.getsockname()[1])
        front = Front(web, settings.public_url) if web else None
        parts = _parts(settings, Engine(Cluster(chosen(settings))), Origins(settings.panes_origin, port), front)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(parts, listeners, handed, exit_with_parent=exit_with_parent))


@dataclass(frozen=True)
class Parts:
    """What the process is made of."""

    application: Application
    engine: Engine
    tunnels: Tunnels
    uses: Uses


def _parts(settings: Settings, engine: Engine, origins: Origins, front: Front | None) -> Parts:
    """Every part that has handlers, joined under one table of routes."""
    metrics = Metrics(everybody=settings.gateway_metrics)
    limits = Limits(settings.gateway_streams, settings.gateway_mib_per_second * 2**20)
    keys, tunnels, uses = TicketKeys(settings.ticket_keys), Tunnels(limits, metrics.ended), Uses(settings.activity_file)
    dial = Dial(engine, inside=uses_service_account(settings))
    metrics.tunnels = tunnels
    panes = Panes(keys, engine, StaticFiles(), tunnels, origins, Embedders(settings.embedders_file), front)
    sites = Sites(origins, engine, dial, tunnels, uses)
    streams = Streams(engine, dial, lambda: terminal_key(settings.terminal_key), tunnels, uses)
    transfers = FileLimits(settings.gateway_file_mib * 2**20, settings.gateway_transfers)
    files = Files(engine, lambda: terminal_key(settings.terminal_key), tunnels, uses, transfers)
    handlers = {
        **panes.handlers(),
        **sites.handlers(),
        **files.handlers(),
        "stream": streams.open,
        "metrics": metrics.answer,
    }
    return Parts(Application(keys, engine, handlers, sites, metrics.refused, front), engine, tunnels, uses)


async def _serve(
    parts: Parts, listeners: list[tuple[socket.socket, bool]], handed: socket.socket, *, exit_with_parent: bool
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if exit_with_parent:
        threading.Thread(target=_await_end_of_input, args=(loop, stop), daemon=True).start()
    connections: set[Connection] = set()
    connect = partial(Connection, parts.application, connections)
    servers = [await _listen(partial(connect, loopback_port=loopback), listener) for listener, loopback in listeners]
    taker = asyncio.create_task(take_over(handed, lambda read: connect(loopback_port=False, beginning=read)))
    watcher = asyncio.create_task(watch(parts.tunnels, parts.engine))
    reporter = asyncio.create_task(parts.uses.report())
    log.info("listening on %s", ", ".join(str(listener.getsockname()) for listener, _ in listeners))
    always = (taker, watcher, reporter)
    await asyncio.wait((asyncio.create_task(stop.wait()), *always), return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.close()
    failed = [task for task in always if task.done()]
    taker.cancel()
    await asyncio.gather(taker, return_exceptions=True)
    handed.close()
    await _drain(parts.tunnels, connections)
    for task in failed:
        task.result()  # it never ends by itself: this raises what ended it
    for task in (watcher, reporter):
        task.cancel()


async def _listen(connect: Callable[[], Connection], listener: socket.socket) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if listener.family == socket.AF_UNIX:
        return await loop.create_unix_server(connect, sock=listener)
    return await loop.create_server(connect, sock=listener)


async def _drain(tunnels: Tunnels, connections: set[Connection]) -> None:
    """Close what is idle, end the streams, and give answers under way a little time."""
    tunnels.close_all()
    for connection in tuple(connections):
        connection.close_idle()
    if answers := [connection.answering for connection in connections if connection.answering is not None]:
        await asyncio.wait(answers, timeout=_GRACE_SECONDS)


def _await_end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Read standard input to its end: it ends when the process that holds its other side does."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(stop.set)
