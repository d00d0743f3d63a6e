"""Checks: a script of the template, run in a machine, decides a step.

Exit status decides, standard output is the learner's feedback, standard error is the author's (it goes to the log).
Commands and verdicts never come from a browser.
"""

from __future__ import annotations

import logging
import secrets
import shlex
import time
from collections.abc import Callable, Mapping

from labkit.cluster.client import Cluster
from labkit.errors import LabkitError, MachineUnreachable
from labkit.model import CheckResult, MachineState, MachineStatus, Verdict
from labkit.orchestrator.access import Access
from labkit.orchestrator.inside import run
from labkit.templates import Check, Machine

TIMEOUT_SECONDS = 30.0
FEEDBACK_LIMIT = 2000

_WHY_NOT = {
    MachineState.STARTING: "is still starting",
    MachineState.PAUSED: "is paused: resume the lab first",
    MachineState.STOPPED: "is switched off: reset the lab to start it again",
    MachineState.FAILED: "has failed",
}

_log = logging.getLogger(__name__)


def run_check(
    cluster: Cluster,
    access: Access,
    check: Check,
    machine: Machine,
    status: MachineStatus,
    variables: Mapping[str, str],
    *,
    attested: bool,
    still: Callable[[], None] = lambda: None,
) -> CheckResult:
    """Run a step's check. A machine that cannot be asked gives an ERROR, which counts as no attempt.

    `still` is called all the while: what it raises ends the check.
    """
    if status.state in _WHY_NOT:
        return _result(check, Verdict.ERROR, f"Machine {machine.name} {_WHY_NOT[status.state]}.", attested)
    script = wrapped(check.script, variables)
    try:
        done = run(cluster, access, machine, "sh -s", stdin=script, timeout=TIMEOUT_SECONDS, still=still)
    except MachineUnreachable as error:
        return _result(check, Verdict.ERROR, f"{error}. Please try again.", attested)
    if done.stderr:
        _log.info("check of step %s, standard error: %s", check.step, done.stderr.strip())
    if done.status is None:
        text = f"The check did not end within {TIMEOUT_SECONDS:.0f} seconds. Please try again."
        return _result(check, Verdict.ERROR, text, attested)
    feedback = done.stdout.strip()[:FEEDBACK_LIMIT]
    if done.status == 0:
        return _result(check, Verdict.PASSED, feedback, attested)
    return _result(check, Verdict.NOT_YET, feedback or "The check gave no reason.", attested)


def run_setup(
    cluster: Cluster,
    access: Access,
    setup: Check,
    machine: Machine,
    variables: Mapping[str, str],
    still: Callable[[], None],
) -> None:
    """Run a step's setup script. Raises LabkitError where it fails: a lab that is half prepared cannot be done."""
    script = wrapped(setup.script, variables)
    done = run(cluster, access, machine, "sh -s", stdin=script, timeout=TIMEOUT_SECONDS, still=still)
    if done.status != 0:
        said = (done.stderr or done.stdout).strip()[-FEEDBACK_LIMIT:] or f"exit status {done.status}"
        raise LabkitError(f"the setup script of step '{setup.step}' failed in machine {machine.name}: {said}")


def wrapped(script: str, variables: Mapping[str, str]) -> str:
    """A script that writes the check into a file and runs it: so its first line decides what runs it, and nothing in it
    can read the rest of itself from its input. Variables go by as LABKIT_<NAME>."""
    end = f"END_{secrets.token_hex(16)}"
    exports = "".join(f"export LABKIT_{name.upper()}={shlex.quote(value)}\n" for name, value in variables.items())
    return (
        f"f=$(mktemp) || exit 125\ncat > $f <<'{end}'\n{script}\n{end}\nchmod 700 $f\n{exports}"
        "$f < /dev/null\ns=$?\nrm -f $f\nexit $s\n"
    )


def _result(check: Check, verdict: Verdict, feedback: str, attested: bool) -> CheckResult:
    return CheckResult(check.step, verdict, feedback, time.time(), attested)
