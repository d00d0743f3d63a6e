"""What one part of lab.yaml says of another: machines, volumes and sets of files by name. Told with its line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

from ruamel.yaml.nodes import Node, ScalarNode

from labkit.documents import Finding, child, entries, items, line_of, named
from labkit.wording import did_you_mean

SETS = {"volume": "volumes", "ephemeral": "volumes", "configMap": "configMaps", "secret": "secrets"}
"""A key of a disk or a folder, and the list of the lab in which its value is named."""


def findings(root: Node) -> Iterator[Finding]:
    """Every name in a lab.yaml that leads nowhere, or that two things have, in a file that is otherwise good."""
    machines = items(child(root, "machines"))
    known = {name for machine in machines if (name := named(machine))}
    sets = {key: _names(child(root, key)) for key in SETS.values()}
    for machine in machines:
        label = f"machine '{named(machine)}'"
        for found in (*_after(machine, known), *_sets(machine, sets)):
            yield found.in_label(label)
    yield from _services(machines, known)
    yield from _cycle(machines)


def _names(node: Node | None) -> set[str]:
    listed = {name for item in items(node) if (name := named(item))}
    return listed | {str(key.value) for key, _ in entries(node)}


def _words(node: Node | None) -> list[Node]:
    return [node] if isinstance(node, ScalarNode) else items(node)


def _after(machine: Node, known: Collection[str]) -> Iterator[Finding]:
    for node in _words(child(machine, "after")):
        if node.value not in known:
            text = f"there is no machine '{node.value}'{did_you_mean(node.value, known)}"
            yield Finding(line_of(node), text, "after")


def _sets(machine: Node, sets: dict[str, set[str]]) -> Iterator[Finding]:
    for item in (*items(child(machine, "disks")), *items(child(machine, "volumes"))):
        for key, declared in SETS.items():
            node = child(item, key)
            if node is not None and node.value not in sets[declared]:
                near = did_you_mean(node.value, sets[declared]) or f"; declare it under '{declared}' of the lab"
                yield Finding(line_of(node), f"there is no {key} '{node.value}'{near}", key)


def _services(machines: Sequence[Node], known: Collection[str]) -> Iterator[Finding]:
    taken = set(known)
    for machine in machines:
        for service in items(child(machine, "services")):
            name = named(service)
            if name in taken:
                text = "is the name of another machine or service already; give it its own"
                yield Finding(line_of(service), text, f"machine '{named(machine)}': service '{name}'")
            taken.add(name or "")


def _cycle(machines: Sequence[Node]) -> Iterator[Finding]:
    order = {named(machine): [node.value for node in _words(child(machine, "after"))] for machine in machines}
    try:
        TopologicalSorter(order).prepare()
    except CycleError as error:
        ring = [name for name in error.args[1] if name]
        line = next(line_of(machine) for machine in machines if named(machine) == ring[0])
        yield Finding(line, f"wait for one another: {' after '.join(reversed(ring))}", "machines")
