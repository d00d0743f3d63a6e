"""What each kind of operation does, step by step. Every step may be killed and repeated.

A function here runs in a worker, reports stages as it goes, and returns the operation's result; what it raises becomes
the operation's error. The table of kinds is in `kinds.py`; what is done to running labs in `changes.py`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from labkit.errors import ClusterUnavailable, LabkitError, NotFound
from labkit.instructions import load_pages, render
from labkit.manifests.lab import access_secret, namespace
from labkit.model import CheckResult, Verdict
from labkit.orchestrator import checks
from labkit.orchestrator.access import draw
from labkit.orchestrator.causes import FULL, trouble_of
from labkit.orchestrator.permission import permit_room
from labkit.orchestrator.usable import MachineFailed, wait_until_usable
from labkit.orchestrator.work import Cancelled, Interrupted, Result, Work
from labkit.templates import Script, Template

_log = logging.getLogger(__name__)
_NAMESPACE_SECONDS = 300.0
_RETRY_SECONDS = 20.0
"""Before the engine is asked for room again."""
_TRY_SECONDS = 3600.0
"""For how long it is asked."""
_KEPT = "kept"
"""The stage from which on a check's result stands."""


def start(work: Work, then: Callable[[Work], None] | None = None) -> Result:
    """Make the lab's objects and wait until every machine can be used (`usable`).

    `then` is done to it before it is ready. A spare is set up when it is claimed, with its learner's variables.
    """
    row = work.row
    if row.ended is not None or row.wanted == "ended":
        raise Cancelled("the lab is being stopped")
    try:
        around, template = work.around, work.template
        permit_room(around.policy, template, row, around.store.labs(), around.templates)
        make(work)
        wait_until_usable(work, template)
        if then is not None:
            then(work)
        if row.spare is None:
            set_up(work)
    except (Cancelled, Interrupted, ClusterUnavailable):
        raise
    except LabkitError as error:
        _give_up(work, error)
        raise
    work.around.store.lab_ready(row.id)
    work.say("ready", "The lab is ready", 1.0)
    return None


def make(work: Work) -> None:
    """See to it that all the lab's objects are there."""
    cluster, row = work.around.cluster, work.row
    work.say("prepare", "Reading the template", 0.02)
    template = work.template
    installation = work.around.store.installation()
    work.say("network", "Making the lab's private network", 0.05)
    cluster.ensure(namespace(installation, row.id))
    cluster.ensure(access_secret(installation, row.id, draw(template)))
    work.say("machines", f"Making {_count(len(template.machines), 'machine')}", 0.1)
    make_objects(work)


def make_objects(work: Work) -> None:
    """Make what is not there yet, a machine once those are usable that it is to be started after."""
    after = {machine.name: machine.after for machine in work.template.machines}
    for body in work.objects():
        work.go_on()
        first = after[body["metadata"]["name"]] if body["kind"] in ("VirtualMachine", "Pod") else ()
        if first:
            wait_until_usable(work, work.template, first)
        work.around.cluster.ensure(body)


def stop(work: Work) -> Result:
    """Delete the lab's namespace and wait until nothing of it is left."""
    work.around.store.want(work.row.id, "ended")
    work.say("stopping", "Switching the machines off", 0.1)
    _delete_namespace(work, lambda share: work.say("stopping", "Switching the machines off", 0.1 + 0.85 * share))
    work.around.store.lab_ended(work.row.id)
    work.say("stopped", "The lab has ended; nothing of it is left", 1.0)
    return None


def check(work: Work) -> Result:
    """Run one step's check and keep its result; where it is passed, what cleans up after the step is run."""
    template = _template_of_check(work)
    step, store = _step(work, template.checks), work.around.store
    kept = any(event.stage == _KEPT for event in store.events(work.operation.id))
    result = store.progress(work.row.work).results[step] if kept else _checked(work, template, step)
    # What nobody asked for is no attempt: it counts where it has passed, and is forgotten otherwise.
    counts = result.verdict is Verdict.PASSED if work.operation.arguments.get("polled") else True
    if not kept and counts and result.verdict is not Verdict.ERROR:
        store.record_result(work.row.work, result)
        # From here on the check is not run again: cleaning up may change what it looks at.
        work.say(_KEPT, "The result is kept", 0.9)
    if result.verdict is Verdict.PASSED:
        _clean_up(work, step)
    work.say("checked", result.feedback, 1.0)
    found = {"step": step, "verdict": result.verdict.value, "feedback": result.feedback, "time": result.time}
    return {**found, "score": result.score, "points": result.points}


def solve(work: Work) -> Result:
    """Do one step by its solve scripts. Raises LabkitError where one fails."""
    step = _step(work, {script.step for script in work.template.solutions})
    work.say("solving", "Doing the step", 0.2)
    _run_scripts(work, [script for script in work.template.solutions if script.step == step])
    work.say("solved", "The step is done", 1.0)
    return {"step": step}


def _step(work: Work, known: Collection[str]) -> str:
    step = str(work.operation.arguments["step"])
    if step not in known:
        raise NotFound(f"step {step!r} of {work.template.name} has no such script")
    return step


def _template_of_check(work: Work) -> Template:
    """The lab's own; for a check by the template as it is now, that one."""
    content = str(work.operation.arguments.get("content", ""))
    return work.around.templates.load(work.row.template, content) if content else work.template


def _checked(work: Work, template: Template, step: str) -> CheckResult:
    """Run the step's scripts as `template` has them, on the lab's own machines."""
    scripts, scene = template.checks[step], _scene(work)
    where = ", ".join(script.machine or "several machines" for script in scripts)
    work.say("checking", f"Checking in {where}", 0.2)
    points = _points(work.template.folder, work.template.digest).get(step, 0.0)
    result = checks.run_check(scene, scripts, points=points, attested=work.around.attested)
    if "content" not in work.operation.arguments:
        return result
    told = f"Your teacher had this checked again. {result.feedback}"
    return replace(result, feedback=told.strip(), digest=template.digest, replaces=work.template.digest)


@lru_cache(maxsize=64)
def _points(folder: Path, digest: str) -> Mapping[str, float]:
    """What the steps of a template are worth. `digest` names its content: reading a large lab takes a second."""
    pages = render(load_pages(folder), variables={}, checks=())
    return {step.id: step.points for step in pages.steps}


def _clean_up(work: Work, step: str) -> None:
    """What fails here is told to the author: the learner's result stands."""
    try:
        _run_scripts(work, [script for script in work.template.cleanups if script.step == step])
    except (Cancelled, Interrupted, ClusterUnavailable):
        raise
    except LabkitError as error:
        _log.error("lab %s: %s", work.row.id, error)


def _scene(work: Work) -> checks.Scene:
    machines = work.machines()
    variables = work.variables({found.name: found.address for found in machines})
    return checks.Scene(work.around.cluster, work.access(), work.template, machines, variables, work.go_on)


def _run_scripts(work: Work, scripts: Collection[Script]) -> None:
    if scripts:
        scene = _scene(work)
        for script in scripts:
            checks.run_script(scene, script)


def set_up(work: Work, only: Collection[str] = ()) -> None:
    """Run the template's setup scripts in its new machines (or those named). Raises LabkitError where one fails."""
    template = work.template
    scripts = [script for script in template.setups if not only or script.machine in only]
    if scripts:
        work.say("setup", "Preparing the machines", 0.97)
        _run_scripts(work, scripts)


def _give_up(work: Work, error: LabkitError) -> None:
    """After a start that cannot succeed: nothing half made stays, and the lab says why.

    Where there is only no room, and other labs that will end, the lab goes back into the queue for an hour (raises
    Interrupted).
    """
    store = work.around.store
    cause = trouble_of(error.cause if isinstance(error, MachineFailed) else str(error))
    others = any(row.admitted is not None and row.id != work.row.id for row in store.labs())
    if cause in FULL and others and time.time() - work.operation.created < _TRY_SECONDS:
        _log.info("no room for lab %s: %s", work.row.id, error)
        work.say("waiting", "There is no room at the moment: it is tried again by itself", 0.0)
        _delete_namespace(work, lambda share: None)
        store.put_back(work.operation.id, time.time() + _RETRY_SECONDS)
        raise Interrupted("there is no room")
    words = error.words if isinstance(error, MachineFailed) else str(error)
    store.lab_failed(work.row.id, words, str(error) if words != str(error) else "")
    work.around.cluster.delete("Namespace", None, work.namespace)
    store.lab_ended(work.row.id)
    work.say("failed", words, 1.0)


def _delete_namespace(work: Work, tell: Callable[[float], None]) -> None:
    cluster = work.around.cluster
    begun = time.monotonic()
    while cluster.delete("Namespace", None, work.namespace):
        work.stay()
        elapsed = time.monotonic() - begun
        if elapsed > _NAMESPACE_SECONDS:
            raise ClusterUnavailable(f"namespace {work.namespace} is still being deleted after {elapsed:.0f} s")
        tell(1 - math.exp(-elapsed / 3))
        time.sleep(min(0.05 + elapsed / 10, 0.5))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
