"""What of a lab is the learner's own, applied when he claims a spare: files, and whatever else his variables stand in.

A spare was made with nobody's variables. What differs with the learner's is written into running VMs where it is files;
machines in which it is anything else are made anew.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from labkit.manifests.scope import Object
from labkit.manifests.userdata import content
from labkit.orchestrator import inside
from labkit.orchestrator.changes import remake
from labkit.orchestrator.usable import wait_until_usable
from labkit.orchestrator.work import Work
from labkit.templates import Machine, fill

Variables = Mapping[str, str]
_TEXTS = ("data", "stringData", "binaryData")
_SECONDS = 30.0


def personalise(work: Work) -> None:
    """Make a claimed spare its learner's. Repeated, it does the same again."""
    before, after = work.declared(learner="", seed=""), work.declared()
    old, new = work.objects(before), work.objects(after)
    changed = [body for body, other in zip(new, old, strict=True) if body != other]
    for body in changed:
        if texts := {key: body[key] for key in _TEXTS if key in body}:
            work.around.cluster.merge(body["kind"], work.namespace, body["metadata"]["name"], texts)
    machines = work.template.machines
    anew = [machine.name for machine in machines if must_be_made_anew(machine, before, after, changed)]
    if anew:
        remake(work, anew)
    wait_until_usable(work, work.template)
    for machine in machines:
        if machine.name not in anew and (script := files_script(machine, before, after)):
            inside.run(work.around.cluster, work.access(), machine, script, timeout=_SECONDS, still=work.go_on)


def must_be_made_anew(machine: Machine, before: Variables, after: Variables, changed: Sequence[Object]) -> bool:
    """Whether the learner's part of a machine cannot be given to it as it runs."""
    if any(body["kind"] in ("VirtualMachine", "Pod") and body["metadata"]["name"] == machine.name for body in changed):
        return True
    if machine.type == "container":
        return bool(files_script(machine, before, after))
    return bool(fill(machine.user_data, before) != fill(machine.user_data, after))


def files_script(machine: Machine, before: Variables, after: Variables) -> str:
    """A shell script that writes the files of a machine that differ; nothing where none does."""
    lines = []
    for file in machine.files:
        wanted = content(file, after)
        if wanted != content(file, before):
            path, text = shlex.quote(file.path), base64.b64encode(wanted).decode()
            lines.append(
                f"mkdir -p {shlex.quote(str(PurePosixPath(file.path).parent))} && echo {text} | base64 -d > {path}"
                f" && chmod {shlex.quote(file.mode)} {path} && chown {shlex.quote(file.owner)} {path}"
            )
    return "\n".join(["set -e", *lines]) if lines else ""
