"""What a template is, once read: plain values. Nothing here reads or writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labkit.errors import NotFound
from labkit.model import Pane
from labkit.wording import did_you_mean

BUILT_IN_VARIABLES = ("lab", "learner")
"""Every lab has these: the lab's id and the learner's name. No template may declare one of them."""


@dataclass(frozen=True)
class Image:
    """Where a machine's disk comes from. `source` is bundled, registry, url or path; `reference` is meant by it."""

    source: str
    reference: str


@dataclass(frozen=True)
class User:
    """A person's account in a machine. Without a password, and none generated, nobody can sign in as them."""

    name: str
    password_generate: bool = False
    password: str | None = None


@dataclass(frozen=True)
class Machine:
    """One machine. `type` is vm (containers: not built in this version)."""

    name: str
    type: str
    image: Image
    cpu: int
    memory_bytes: int
    users: tuple[User, ...] = ()
    panes: tuple[Pane, ...] = ()


@dataclass(frozen=True)
class Network:
    """What machines may reach outside their lab. `egress` is none: nothing (others: not built)."""

    egress: str = "none"


@dataclass(frozen=True)
class Lifetime:
    """When a lab is ended without being asked: this many seconds after it was ready, or after nobody used it for as
    long. None: as the installation's settings say."""

    max_seconds: int | None = None
    idle_seconds: int | None = None


@dataclass(frozen=True)
class Variable:
    """A declared variable, for use as `{{ name }}` in the instructions."""

    value: str


@dataclass(frozen=True)
class Check:
    """The script that decides a step, run in `machine`: exit 0 is passed, standard output is the feedback."""

    step: str
    machine: str
    script: str


@dataclass(frozen=True)
class Template:
    """A template as an author wrote it. `digest` names its content: 64 hex digits over all files of `folder`."""

    name: str
    title: str
    description: str
    duration_minutes: int | None
    tags: tuple[str, ...]
    machines: tuple[Machine, ...]
    network: Network
    lifetime: Lifetime
    variables: Mapping[str, Variable]
    folder: Path
    digest: str
    checks: Mapping[str, Check] = field(default_factory=dict)

    def machine(self, name: str) -> Machine:
        """The machine called `name`. Raises NotFound."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        known = did_you_mean(name, (machine.name for machine in self.machines))
        raise NotFound(f"template '{self.name}' has no machine '{name}'{known}")


def values(template: Template, *, learner: str, lab: str) -> dict[str, str]:
    """The variables of one learner's lab, for the instructions: the built-in ones and those that it declares."""
    declared = {name: variable.value for name, variable in template.variables.items()}
    return {**declared, "learner": learner, "lab": lab}
