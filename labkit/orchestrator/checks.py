"""Checks: a template's scripts, run in machines or beside the lab, decide a step.

Exit status decides, standard output is the learner's feedback (but for a line `score: 0.5`, which gives a part of the
step's points), standard error is the author's: it goes to the log. Commands and verdicts never come from a browser.
"""

from __future__ import annotations

import logging
import re
import secrets
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from labkit.cluster.client import Cluster
from labkit.errors import LabkitError, MachineUnreachable
from labkit.model import CheckResult, MachineState, MachineStatus, Verdict
from labkit.orchestrator import beside, inside, inside_check
from labkit.orchestrator.access import Access
from labkit.orchestrator.ssh import Completed
from labkit.templates import BESIDE, Script, Template

FEEDBACK_LIMIT = 2000
_CANNOT_RUN = inside_check.BROKEN
"""The status with which `wrapped` too says that a script could not be run at all."""
_SCORE = re.compile(r"^score:[ \t]*([01](?:\.[0-9]+)?)[ \t]*$\n?", re.MULTILINE)

_WHY_NOT = {
    MachineState.STARTING: "is still starting",
    MachineState.PAUSED: "is paused: resume the lab first",
    MachineState.STOPPED: "is switched off: reset the lab to start it again",
    MachineState.FAILED: "has failed",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scene:
    """What scripts are run on: a lab's machines, and its variables. `still` is called all the while: what it raises
    ends them."""

    cluster: Cluster
    access: Access
    template: Template
    machines: Sequence[MachineStatus]
    variables: Mapping[str, str]
    still: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Finding:
    """What one script said."""

    verdict: Verdict
    feedback: str
    score: float = 0.0


def run_check(scene: Scene, scripts: Sequence[Script], *, points: float, attested: bool) -> CheckResult:
    """Run all scripts of a step, which all have to pass. A machine that cannot be asked gives an ERROR, which counts as
    no attempt; no other script is run then. `points` are the step's.
    """
    begun = time.time()
    findings: list[Finding] = []
    for script in scripts:
        why = why_not(scene.machines, script.machine)
        findings.append(Finding(Verdict.ERROR, why) if why else _decide(scene, script))
        if findings[-1].verdict is Verdict.ERROR:
            break
    verdict, feedback, score = joined(findings)
    return CheckResult(
        step=scripts[0].step,
        verdict=verdict,
        feedback=feedback,
        time=time.time(),
        attested=attested,
        score=score,
        points=round(score * points, 3),
        seconds=round(time.time() - begun, 3),
        digest=scene.template.digest,
    )


def joined(findings: Sequence[Finding]) -> tuple[Verdict, str, float]:
    """Verdict, feedback and score of a step from those of its scripts: an error is the whole verdict, passed is only
    what all say, and each has the same share of the score."""
    for finding in findings:
        if finding.verdict is Verdict.ERROR:
            return finding.verdict, finding.feedback, 0.0
    passed = all(finding.verdict is Verdict.PASSED for finding in findings)
    shown = [each.feedback for each in findings if each.feedback and (passed or each.verdict is not Verdict.PASSED)]
    score = sum(finding.score for finding in findings) / len(findings)
    feedback = "\n".join(shown)[:FEEDBACK_LIMIT].strip()
    if passed:
        return Verdict.PASSED, feedback, score
    return Verdict.NOT_YET, feedback or "The check gave no reason.", score


def judge(status: int, output: str) -> Finding:
    """What a script's exit status and standard output say."""
    said = _SCORE.findall(output)
    passed = status == 0
    score = float(said[-1]) if said else float(passed)
    return Finding(Verdict.PASSED if passed else Verdict.NOT_YET, _SCORE.sub("", output).strip(), min(score, 1.0))


def run_script(scene: Scene, script: Script) -> None:
    """Run a script that has to succeed: a setup, a solution. Raises LabkitError where it does not."""
    done = _run(scene, script)
    if done.status != 0:
        said = (done.stderr or done.stdout).strip()[-FEEDBACK_LIMIT:] or f"exit status {done.status}"
        raise LabkitError(f"a script of step '{script.step}' failed in machine {script.machine}: {said}")


def why_not(machines: Sequence[MachineStatus], wanted: str) -> str:
    """Why nothing can be done in a machine now, in a sentence: it does not run, or, for `BESIDE`, any of them."""
    for machine in machines:
        if wanted in (machine.name, BESIDE) and machine.state in _WHY_NOT:
            return f"Machine {machine.name} {_WHY_NOT[machine.state]}."
    return ""


def _decide(scene: Scene, script: Script) -> Finding:
    where = script.machine or "beside the lab"
    try:
        done = _run(scene, script)
    except MachineUnreachable as error:
        return Finding(Verdict.ERROR, f"{error}. Please try again.")
    if done.stderr:
        _log.info("check of step %s, %s, standard error: %s", script.step, where, done.stderr.strip())
    if done.status is None:
        return Finding(
            Verdict.ERROR,
            f"The check did not end within {script.conduct.timeout_seconds} seconds. Please try again.",
        )
    if done.status == _CANNOT_RUN:
        _log.error("the check of step %s could not be run %s: %s", script.step, where, done.stderr.strip())
        return Finding(Verdict.ERROR, "The check could not be run. Please tell those who run the lab.")
    return judge(done.status, done.stdout)


def _run(scene: Scene, script: Script) -> Completed:
    seconds = float(script.conduct.timeout_seconds)
    if script.machine == BESIDE:
        return beside.run(
            scene.cluster, scene.access, scene.template, script.text, scene.variables, seconds, scene.still
        )
    text = wrapped(script.text, scene.variables, script.conduct.user)
    machine = scene.template.machine(script.machine)
    return inside.run(scene.cluster, scene.access, machine, "sh -s", stdin=text, timeout=seconds, still=scene.still)


def wrapped(script: str, variables: Mapping[str, str], user: str = "root") -> str:
    """A script that writes the check into a file and runs it: so its first line decides what runs it, and nothing in it
    can read the rest of itself from its input. Variables go by as LABKIT_<NAME>."""
    end = f"END_{secrets.token_hex(16)}"
    exports = "".join(f"export LABKIT_{name.upper()}={shlex.quote(value)}\n" for name, value in variables.items())
    become, call = "", "$f"
    if user != "root":
        who = shlex.quote(user)
        become = f"id -u {who} > /dev/null && chown {who} $f || exit {_CANNOT_RUN}\n"
        call = f"su -s /bin/sh {who} -c $f"
    return (
        f"f=$(mktemp) || exit {_CANNOT_RUN}\ntrap 'rm -f $f' EXIT\ncat > $f <<'{end}'\n{script}\n{end}\n"
        f"chmod 700 $f\n{become}{exports}{call} < /dev/null\n"
    )
