"""Commands for those who write labs and mark them: test, solve, results, mark."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click

from labkit import app
from labkit.commands.labs import Session, lab_argument
from labkit.commands.output import ago, as_json, print_json, print_table, printable
from labkit.errors import LabkitError, SetupError
from labkit.instructions import load_pages, render
from labkit.model import Verdict
from labkit.orchestrator.results import fault
from labkit.settings import load
from labkit.templates import Template


@click.command()
@lab_argument
@click.argument("step")
def solve(lab: str, step: str) -> None:
    """Do STEP of a lab by its solve- scripts, to try the lab out."""
    session = Session()
    session.watch(session.labs.solve(session.principal, session.find(lab), step))
    click.echo(f"Step {step} is done; `labkit check {lab} {step}` checks it")


@dataclass(frozen=True)
class Tried:
    """What came of a step. `fault`: a sentence where check or solution is no good; `seconds`: what the checks took."""

    step: str
    fault: str
    seconds: float


@click.command(name="test")
@click.argument("template")
@click.option("--junit", type=click.Path(path_type=Path), help="Write the outcome as JUnit XML to this file too.")
@click.option("--keep", is_flag=True, help="Do not end the lab afterwards.")
@as_json
def try_out(template: str, junit: Path | None, keep: bool, as_json: bool) -> None:
    """Try the lab TEMPLATE (a name or a folder) out on real machines.

    In the order of the pages, the check of each step has to say "not yet", its solve- scripts are run, and the check
    has to pass. Exit status 1 where a step passes unsolved, or cannot be solved.
    """
    session = Session()
    operation = session.labs.start(session.principal, template, activity=f"test-{secrets.token_hex(4)}")
    begun = time.monotonic()
    try:
        session.watch(operation, quiet=as_json)
        started = time.monotonic() - begun
        found = app.template_of(session.settings, template)
        tried = list(_steps(session, operation.lab, found, quiet=as_json))
    finally:
        if not keep and session.status(operation.lab).ended is None:
            session.watch(session.labs.stop(session.principal, operation.lab), quiet=as_json)
    if junit:
        junit.write_bytes(report(found.name, tried))
    if as_json:
        print_json({"template": found.name, "start_seconds": round(started, 1), "steps": tried})
    else:
        rows = [(each.step, each.fault or "good", f"{each.seconds:.1f} s") for each in tried]
        print_table(("STEP", "", "CHECKS TOOK"), rows, empty="The lab has no checked step.")
        click.echo(f"The lab was ready after {started:.1f} s.")
    sys.exit(1 if any(each.fault for each in tried) else 0)


def _steps(session: Session, lab: str, template: Template, *, quiet: bool) -> Iterator[Tried]:
    pages = render(load_pages(template.folder), variables={}, checks=template.checks)
    solved = {script.step for script in template.solutions}
    for step in (found.id for found in pages.steps if found.id in template.checks):
        before, seconds, _ = _check(session, lab, step, quiet=quiet)
        if before is not Verdict.NOT_YET:
            yield Tried(step, _BEFORE[before], seconds)
            continue
        if step not in solved:
            yield Tried(step, "has no solve- script, so that nobody knows whether it can be passed", seconds)
            continue
        try:
            session.watch(session.labs.solve(session.principal, lab, step), quiet=quiet)
        except LabkitError as error:
            yield Tried(step, f"cannot be solved: {error}", seconds)
            continue
        after, more, said = _check(session, lab, step, quiet=quiet)
        yield Tried(step, "" if after is Verdict.PASSED else f"does not pass once it is solved: {said}", seconds + more)


_BEFORE = {
    Verdict.PASSED: "passes before anything was done",
    Verdict.ERROR: "its check cannot be run; the operator's log says why",
}


def _check(session: Session, lab: str, step: str, *, quiet: bool) -> tuple[Verdict, float, str]:
    begun = time.monotonic()
    done = session.watch(session.labs.check(session.principal, lab, step), quiet=quiet)
    result = dict(done.result or {})
    return Verdict(result["verdict"]), time.monotonic() - begun, str(result["feedback"])


def report(name: str, tried: Sequence[Tried]) -> bytes:
    """The outcome as JUnit XML, a case for each step."""
    failures = sum(bool(each.fault) for each in tried)
    suite = ElementTree.Element("testsuite", name=name, tests=str(len(tried)), failures=str(failures))
    for each in tried:
        case = ElementTree.SubElement(suite, "testcase", classname=name, name=each.step, time=f"{each.seconds:.3f}")
        if each.fault:
            ElementTree.SubElement(case, "failure", message=each.fault)
    return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True))


@click.group(invoke_without_command=True)
@click.option("--activity", help="Only what was handed in for this activity.")
@as_json
@click.pass_context
def results(context: click.Context, activity: str | None, as_json: bool) -> None:
    """What checks have said, as records that can be verified elsewhere.

    Without another word: the texts and files that learners have handed in, and that wait for a person to mark them.
    """
    if context.invoked_subcommand is not None:
        return
    session = Session()
    waiting = session.labs.waiting(session.principal, activity)
    if as_json:
        print_json(waiting)
        return
    rows = [(one.work, one.learner, one.activity, one.question, ago(one.time), _shortly(one.given)) for one in waiting]
    print_table(("WORK", "LEARNER", "ACTIVITY", "QUESTION", "AGE", ""), rows, empty="Nothing waits to be marked.")


def _shortly(given: Sequence[str]) -> str:
    text = " ".join(given[0].split()) if given else ""
    return text if len(text) <= 60 else f"{text[:57]}…"


@results.command("show")
@click.argument("work")
@click.argument("question")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write it to this file, not to standard output.")
def show_handed_in(work: str, question: str, output: Path | None) -> None:
    """Show the text or file that was handed in last for QUESTION of WORK (its id, or a lab's)."""
    session = Session()
    content = session.labs.handed_in(session.principal, session.find(work), question)
    if output is None and sys.stdout.isatty():
        click.echo(printable(content.decode(errors="replace")))
        return
    if output is None:
        sys.stdout.buffer.write(content)
        return
    output.write_bytes(content)
    click.echo(f"{len(content)} bytes are in {output}")


@click.command()
@click.argument("work")
@click.argument("question")
@click.argument("points", type=float)
@click.option("--comment", default="", help="What the learner is to read beside his points.")
def mark(work: str, question: str, points: float, comment: str) -> None:
    """Give POINTS for what was handed in for QUESTION of WORK (its id as `labkit results` has it, or a lab's)."""
    session = Session()
    session.labs.mark(session.principal, session.find(work), question, points, comment)
    click.echo(f"Question {question} of {work}: {points:g} points")


@results.command("export")
@click.option("--activity", help="Only results of this activity.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write to this file, not to standard output.")
def export_results(activity: str | None, output: Path | None) -> None:
    """Write every result, and every mark by hand, as a line of JSON, without names, and signed where it is attested.

    Results are attested where learners cannot write them themselves; in a learner's own labkit they are not, and are
    never signed. The file keys/results.jwks.json in the state folder holds the keys to verify them with.
    """
    session = Session()
    labs, principal = session.labs, session.principal
    found, marks = labs.results(principal, activity), labs.marks(principal, activity)
    lines = [json.dumps(each, sort_keys=True) for each in app.exported_results(session.settings, found, marks)]
    if output is None:
        click.echo("\n".join(lines), nl=bool(lines))
        return
    output.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    click.echo(f"{len(lines)} results are in {output}")


@results.command("verify")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--keys", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A JSON Web Key Set.")
def verify_results(file: Path, keys: Path | None) -> None:
    """Verify the records in FILE, by --keys or this installation's own. Exit status 1 where one is not good."""
    known = _json(keys.read_text()) if keys else app.result_keys(load())
    faults = []
    lines = file.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        found = _json(line)
        if why := fault(found, known) if isinstance(found, dict) else "is no record":
            faults.append(f"{file.name}:{number}: {why}")
    click.echo("\n".join([*faults, f"{len(lines) - len(faults)} of {len(lines)} records are good"]))
    sys.exit(1 if faults else 0)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise SetupError(f"this is no JSON: {error}") from error
