"""The composition root: settings to store, cluster, keys and `Labs`. The only place that knows all parts."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Collection, Iterator, Mapping

from labkit import launcher
from labkit.cluster.client import Cluster, chosen
from labkit.model import Event, Operation, Principal, Role
from labkit.orchestrator.keyring import Keyring
from labkit.orchestrator.labs import DirectLabs, Labs
from labkit.orchestrator.lifetimes import Limits
from labkit.orchestrator.operations import Surroundings
from labkit.orchestrator.template_source import TemplateSource
from labkit.orchestrator.worker import Controller
from labkit.settings import Settings
from labkit.store import SqliteStore

__all__ = ["Labs", "controller", "follow", "local_principal", "open_labs"]

_POLL_SECONDS = 0.04
_SUPERVISOR_SECONDS = 2.0


def open_labs(settings: Settings, *, progress: Callable[[str], None] = lambda text: None) -> Labs:
    """`Labs` on this machine, its engine, controller and gateway started where they do not run. Raises SetupError."""
    keys = Keyring(settings)
    launcher.ensure(settings, progress)
    return DirectLabs(surroundings(settings, keys), keys)


def wake(settings: Settings) -> None:
    """See to it that engine, controller and gateway run: they end by themselves when no lab has run for a while."""
    launcher.ensure(settings)


def controller(settings: Settings) -> Controller:
    """The controller of this installation."""
    return Controller(surroundings(settings, Keyring(settings)), idle_seconds=settings.idle_minutes * 60)


def surroundings(settings: Settings, keys: Keyring) -> Surroundings:
    """What operations work on."""
    return Surroundings(
        store=SqliteStore(settings.database),
        cluster=Cluster(chosen(settings)),
        templates=TemplateSource(settings.templates_dir),
        terminal_key=keys.terminal,
        start_timeout=settings.start_timeout,
        limits=limits(settings),
        activity=settings.activity_file,
    )


def limits(settings: Settings) -> Limits:
    """What an installation's settings allow, in seconds and bytes."""
    return Limits(
        per_learner=settings.labs_per_learner,
        labs=settings.most_labs,
        memory=settings.most_memory_mib << 20,
        age=settings.lab_hours * 3600,
        idle=settings.lab_idle_minutes * 60,
        longest=settings.most_lab_hours * 3600,
    )


def local_principal(environ: Mapping[str, str] | None = None) -> Principal:
    """Who sits at this machine: the Hub's user where there is a Hub, else the local one. Operator of his own labs.

    With `Labs` in the same process there is nobody to keep the two apart: results are recorded as unattested.
    """
    env = os.environ if environ is None else environ
    hub_user = env.get("JUPYTERHUB_USER")
    user = hub_user or pwd.getpwuid(os.getuid()).pw_name
    return Principal("hub" if hub_user else "local", user, name=user, role=Role.OPERATOR)


def follow(labs: Labs, principal: Principal, operation: Operation, settings: Settings) -> Iterator[Event]:
    """The operation's events as they come, until it is final. Sees to it that somebody works on it."""
    after, next_look = 0, time.monotonic() + _SUPERVISOR_SECONDS
    while True:
        final = labs.operation(principal, operation.id).state.final
        for event in labs.events(principal, operation.id, after):
            after = event.seq
            yield event
        if final:
            return
        if time.monotonic() > next_look:
            launcher.ensure(settings)
            next_look = time.monotonic() + _SUPERVISOR_SECONDS
        time.sleep(_POLL_SECONDS)


def engine_version(settings: Settings) -> str:
    """What the engine says of itself. Raises ClusterError."""
    return Cluster(chosen(settings)).version()


def running_labs(settings: Settings) -> frozenset[str]:
    """The labs that have not ended. Starts nothing."""
    if not settings.database.exists():
        return frozenset()
    store = SqliteStore(settings.database)
    try:
        return frozenset(row.id for row in store.labs())
    finally:
        store.close()


def stop_labs(settings: Settings, *, keep: Collection[str] = (), progress: Callable[[str], None]) -> None:
    """End every lab of this installation but those in `keep`, and wait for it: its owner is done for today."""
    if running_labs(settings) <= set(keep):
        return
    principal = local_principal()
    labs = open_labs(settings)
    operations = [labs.stop(principal, lab.id) for lab in labs.labs(principal) if lab.id not in keep]
    for operation in operations:
        progress(f"Ending lab {operation.lab}")
        for _event in follow(labs, principal, operation, settings):
            pass
