"""Variables: which there are, their values for one learner's lab, and filling them into text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from labkit.templates import patterns
from labkit.templates.schema import Template

BUILT_IN_VARIABLES = ("lab", "learner")
"""Every lab has these: the lab's id and the learner's name. No template may declare one of them."""
ADDRESS = "address_"
"""`address_web` is the address of the machine `web` (`-` in a name is written `_`), for instructions and checks."""
UNKNOWN_ADDRESS = "(not known yet)"

_PLACE = re.compile(r"\{\{[ \t]*([A-Za-z][A-Za-z0-9_]*)[ \t]*\}\}")


def is_built_in(name: str) -> bool:
    """Whether no template may declare `name`."""
    return name in BUILT_IN_VARIABLES or name.startswith(ADDRESS)


def built_in(machines: Iterable[str]) -> frozenset[str]:
    """The variables that every lab with these machines has."""
    return frozenset(BUILT_IN_VARIABLES) | {address_name(machine) for machine in machines}


def address_name(machine: str) -> str:
    """The variable that holds the address of `machine`."""
    return ADDRESS + machine.replace("-", "_")


def values(
    template: Template, *, learner: str, lab: str, seed: str, addresses: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variables of one learner's lab: those built in, those declared, those drawn with the work's `seed`.

    `addresses` are those of machines, where they are known (after the start).
    """
    found = declared(template, learner=learner, lab=lab, seed=seed)
    known = addresses or {}
    return found | {address_name(m.name): known.get(m.name) or UNKNOWN_ADDRESS for m in template.machines}


def declared(template: Template, *, learner: str, lab: str, seed: str) -> dict[str, str]:
    """The variables that are known before the start, and so may stand in files, environment and user data."""
    found = {"learner": learner, "lab": lab}
    for name, variable in template.variables.items():
        found[name] = patterns.draw(variable.pattern, seed, name) if variable.pattern else variable.value or ""
    return found


def names_in(text: str) -> list[str]:
    """The names in `{{ … }}` in `text`, whether they are variables or not."""
    return _PLACE.findall(text)


def fill(value: Any, variables: Mapping[str, str]) -> Any:
    """`value` with every `{{ name }}` of a known variable replaced in its texts, however deep; other braces stay."""
    if isinstance(value, str):
        return _PLACE.sub(lambda found: variables.get(found[1], found[0]), value)
    if isinstance(value, Mapping):
        return {key: fill(below, variables) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [fill(below, variables) for below in value]
    return value
