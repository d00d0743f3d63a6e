"""The composition root: settings to store, cluster, keys and `Labs`. The only place that knows all parts."""

from __future__ import annotations

import hashlib
import os
import pwd
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from labkit import launcher
from labkit.cluster.client import Cluster, chosen, own_namespace
from labkit.cluster.lease import Lease
from labkit.errors import ClusterError, SetupError
from labkit.folders import make_private
from labkit.manifests import names
from labkit.manifests.lab import machine_specs
from labkit.manifests.site import EMBEDDED, Site
from labkit.model import CheckResult, Event, Mark, Operation, Principal, Role
from labkit.orchestrator import results
from labkit.orchestrator.audit import audited
from labkit.orchestrator.keyring import Keyring
from labkit.orchestrator.labs import DirectLabs, Labs
from labkit.orchestrator.lifetimes import Limits
from labkit.orchestrator.permission import refused as refused_by
from labkit.orchestrator.template_source import TemplateSource
from labkit.orchestrator.work import Surroundings
from labkit.orchestrator.worker import Controller
from labkit.remote.client import remote_labs
from labkit.settings import Settings
from labkit.store import LabRow, Retention, SqliteStore
from labkit.store import backup as copy_of_store
from labkit.store import restore as restore_store
from labkit.templates import Available, Template, available, load
from labkit.tickets import jwks

__all__ = ["Labs", "controller", "follow", "local_principal", "open_labs"]

_LOOK_SECONDS = 2.0
"""For how long events are waited for before it is seen to that somebody works at all."""
_GONE_SECONDS = 0.2
_ABANDON_SECONDS = 60.0
"""For how long it is tried to end machines that nobody needs any more."""
_ANSWER_SECONDS = 5.0
_POLL_SECONDS = 0.5
"""How often is asked where it cannot be waited."""


def open_labs(settings: Settings, *, awake: bool = True, progress: Callable[[str], None] = lambda text: None) -> Labs:
    """`Labs`: those of the service at `url`, where that is set; else this machine's, its engine, controller and gateway
    started where they do not run, unless only the store is to be asked (`awake` is false). Raises SetupError."""
    if settings.url:
        return remote_labs(settings.url, token(os.environ))
    keys = Keyring(settings)
    if awake:
        launcher.ensure(settings, progress)
    around = surroundings(settings, keys)
    return audited(DirectLabs(around, keys), around.store)


def served_labs(settings: Settings) -> tuple[Labs, SqliteStore]:
    """`Labs` and the store for a service's web application: templates are found by name only, and nothing is started,
    as engine, controller and gateway run beside it. Raises SetupError."""
    keys = Keyring(settings)
    kept = SqliteStore(settings.database)
    named = TemplateSource(settings.templates_dir, paths=False)
    around = replace(surroundings(settings, keys, kept), templates=named)
    return audited(DirectLabs(around, keys, root=settings.public_url), kept), kept


def token(environ: Mapping[str, str]) -> str:
    """The token for a service: one's own, or the one that a Hub gives a user's server."""
    return environ.get("LABKIT_TOKEN") or environ.get("JUPYTERHUB_API_TOKEN", "")


def template_of(settings: Settings, name_or_path: str) -> Template:
    """A template by its name or folder, as it is now. Raises NotFound, Invalid."""
    source = TemplateSource(settings.templates_dir)
    return source.load(source.resolve(name_or_path))


def exported_results(
    settings: Settings, found: Sequence[tuple[str, CheckResult]], marks: Sequence[Mark]
) -> Iterator[dict[str, Any]]:
    """Results (each with its work) and marks as records, signed where they are attested."""
    keys = Keyring(settings)
    with store(settings) as kept:
        installation = kept.installation()
    records = [results.record(installation, work, each) for work, each in found]
    records += [results.marked(installation, mark) for mark in marks]
    return (results.exported(record, keys.results) for record in records)


def result_keys(settings: Settings) -> Mapping[str, Any]:
    """The public keys by which this installation's results are verified, as a JSON Web Key Set."""
    return jwks([Keyring(settings).results])


def startable(settings: Settings) -> list[Available]:
    """The templates that can be started by name: those of the service where labs are a service's. Starts nothing."""
    if not settings.url:
        return available(settings.templates_dir)
    offers = open_labs(settings).templates(local_principal())
    return [Available(offer.name, offer.title, "service", Path()) for offer in offers]


def wake(settings: Settings) -> None:
    """See to it that engine, controller and gateway run: they end by themselves when no lab has run for a while.
    Where labs are a service's, that is its own business."""
    if not settings.url:
        launcher.ensure(settings)


def controller(settings: Settings, *, stay: bool = False, attest: bool = False) -> Controller:
    """The controller of this installation; it is to `stay` though no lab runs, and to `attest` what checks say: where
    learners cannot write results themselves."""
    kept, kubeconfig = SqliteStore(settings.database), chosen(settings)
    # Only one process of a state folder gets as far as the lease (it has the file lock): they all are one holder.
    holder = f"{socket.gethostname()}_{hashlib.sha256(str(settings.state_dir).encode()).hexdigest()[:8]}"
    lease = Lease(
        Cluster(kubeconfig, silence=min(settings.engine_timeout, settings.lease_seconds / 3)),
        own_namespace(),
        names.lease(kept.installation()),
        holder,
        seconds=settings.lease_seconds,
    )
    return Controller(
        replace(surroundings(settings, Keyring(settings), kept, permit=lease.check), attested=attest),
        lease,
        idle_seconds=0 if stay else settings.idle_minutes * 60,
        purge=lambda now: purge(settings, kept, now),
    )


def surroundings(
    settings: Settings,
    keys: Keyring,
    kept: SqliteStore | None = None,
    *,
    permit: Callable[[], None] = lambda: None,
) -> Surroundings:
    """What operations work on. `permit` is asked before each change of the cluster."""
    return Surroundings(
        store=kept or SqliteStore(settings.database),
        cluster=Cluster(chosen(settings), silence=settings.engine_timeout, permit=permit),
        templates=TemplateSource(settings.templates_dir),
        terminal_key=keys.terminal,
        start_timeout=settings.start_timeout,
        limits=limits(settings),
        policy=settings.policy_file,
        activity=settings.activity_file,
        site=site(settings),
    )


@contextmanager
def store(settings: Settings) -> Iterator[SqliteStore]:
    """The store alone, for what needs neither engine nor controller. Raises SetupError where it is a service's."""
    launcher.here(settings)
    make_private(settings.state_dir)
    found = SqliteStore(settings.database)
    try:
        yield found
    finally:
        found.close()


def purge(settings: Settings, kept: SqliteStore, now: float) -> None:
    """Delete what has been kept for as long as the settings say."""
    retention = Retention(
        events=settings.retention_events,
        labs=settings.retention_labs,
        audit=settings.retention_audit,
        learners=settings.retention_learners,
    )
    gone = dict(kept.purge(retention, now))
    for copy in copies(settings):
        if settings.retention_copies and copy.stat().st_mtime < now - settings.retention_copies * 86400:
            copy.unlink()
            gone["copy of the database"] = gone.get("copy of the database", 0) + 1
    if gone:
        kept.audit("controller", "purge", ", ".join(f"{number} {what}" for what, number in sorted(gone.items())))


def refused(settings: Settings, folder: Path, policy: Path | None) -> list[str]:
    """Why a policy (None: labkit's own) would refuse labs of the template in a folder. Raises Invalid for a policy with
    faults, NotFound."""
    return refused_by(policy, load(folder), site(settings))


def copies(settings: Settings) -> list[Path]:
    """The copies of the database that labkit has made in the state folder."""
    return sorted(settings.state_dir.glob(f"{settings.database.name}.*-*"))


def backup(settings: Settings, target: Path | None) -> Path:
    """A verified copy of the database. Raises SetupError."""
    target = target or settings.database.with_name(f"{settings.database.name}.backup-{time.strftime('%Y%m%d-%H%M%S')}")
    copy_of_store(settings.database, target.absolute())
    return target


def restore(settings: Settings, source: Path) -> Path | None:
    """Put a backup in the database's place; where the one before is. Raises SetupError, also where anything runs."""
    with launcher.held_off(settings):
        return restore_store(source.absolute(), settings.database)


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


def site(settings: Settings) -> Site:
    """What the engine is like around a lab: the embedded one has the images that were built here."""
    here = chosen(settings) == settings.engine_kubeconfig
    return Site(
        registry=settings.image_registry.rstrip("/") or (EMBEDDED if here else ""),
        kubevirt=settings.kubevirt_namespace,
        gateway=settings.gateway_namespace,
        closed=tuple(settings.closed_networks.replace(",", " ").split()),
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
    after = 0
    while True:
        begun = time.monotonic()
        final = labs.operation(principal, operation.id).state.final
        events = labs.events(principal, operation.id, after, wait=0.0 if final else _LOOK_SECONDS)
        for event in events:
            after = event.seq
            yield event
        if final:
            return
        if not events:
            wake(settings)
            time.sleep(max(0.0, _POLL_SECONDS - (time.monotonic() - begun)))  # it may have been told not to wait


def engine_version(settings: Settings) -> str:
    """What the engine says of itself. Raises ClusterError."""
    return Cluster(chosen(settings)).version()


def warm(settings: Settings) -> Mapping[str, Any]:
    """What the embedded engine keeps warm. Raises ClusterError."""
    return Cluster(chosen(settings)).warm()


def keep_warm(settings: Settings, template: str, spares: int) -> Mapping[str, Any]:
    """Have the machines of a template start warm, and sets of them parked; how far each machine is.

    Raises NotFound, Invalid, ClusterError.
    """
    source = TemplateSource(settings.templates_dir)
    name = source.resolve(template)
    body = {"name": name, "machines": machine_specs(source.load(name), site(settings)), "spares": spares}
    return Cluster(chosen(settings)).warm(body)


def running_labs(settings: Settings) -> frozenset[str]:
    """The ids of the labs that have not ended. Starts nothing."""
    if settings.url:
        return frozenset(lab.id for lab in open_labs(settings).labs(local_principal()))
    return frozenset(row.id for row in labs_in_use(settings))


def labs_in_use(settings: Settings) -> list[LabRow]:
    """The labs that have not ended, as the store has them. Starts nothing."""
    if not settings.database.exists():
        return []
    store = SqliteStore(settings.database)
    try:
        return store.labs()
    finally:
        store.close()


def contents_in_use(settings: Settings) -> frozenset[str]:
    """The contents of templates that labs run with, or that courses have brought. Starts nothing."""
    if not settings.database.exists():
        return frozenset()
    with closing(SqliteStore(settings.database)) as kept:
        return frozenset(lab.digest for lab in kept.labs()) | kept.course_contents()


def stop_labs(settings: Settings, *, keep: Collection[str] = (), progress: Callable[[str], None]) -> None:
    """End every lab of this installation but those in `keep`, and wait for it: its owner is done for today."""
    ending = running_labs(settings) - set(keep)
    if ending:
        end_labs(settings, ending, progress=progress)


def abandon(settings: Settings) -> None:
    """End all that runs here at once: the embedded engine's labs are lost, and noted so; those on a cluster go on.

    Raises SetupError where a service runs (whose labs go on), and where machines could not be ended: then they may run.
    """
    with launcher.ended(settings):  # so no controller makes what is deleted anew, or gives its room to another lab
        if chosen(settings) == settings.engine_kubeconfig and labs_in_use(settings):
            launcher.start_engine(settings)  # machines outlive it, and only it can end them
            with store(settings) as kept:
                _lose_labs(kept, Cluster(chosen(settings), silence=_ANSWER_SECONDS))


def _lose_labs(kept: SqliteStore, cluster: Cluster) -> None:
    """Delete all labs of an engine for which no controller works. Raises SetupError where that takes too long."""
    deadline, why = time.monotonic() + _ABANDON_SECONDS, "their machines do not end"
    while rows := kept.labs():
        for row in rows:
            try:
                if not kept.belongs_to(cluster.identity()):
                    return  # they are on another engine, and go on there
                if not cluster.delete("Namespace", None, names.namespace_of(row.id)):
                    kept.lab_lost(row.id)
                    kept.lab_ended(row.id)
            except ClusterError as error:  # tried again
                why = str(error)
        if time.monotonic() > deadline:
            raise SetupError(f"labs are left behind ({', '.join(row.id for row in rows)}): {why}")
        time.sleep(_GONE_SECONDS)


def end_labs(settings: Settings, ending: Collection[str], *, progress: Callable[[str], None]) -> None:
    """End these labs, and wait for it."""
    principal = local_principal()
    labs = open_labs(settings)
    operations = [labs.stop(principal, lab.id) for lab in labs.labs(principal) if lab.id in ending]
    for operation in operations:
        progress(f"Ending lab {operation.lab}")
        for _event in follow(labs, principal, operation, settings):
            pass
