"""YAML text to nodes, and what can be wrong with one: every fault has its line, and names what it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

KINDS = {ScalarNode: "a single value", SequenceNode: "a list", MappingNode: "keys and values"}
MOST_DEPTH, MOST_NODES = 20, 100_000
BARE_BRACES = re.compile(r"\s*(?:[\w-]+:|-)\s+\{\{")
QUOTE_IT = "a value that starts with '{{' means something else in YAML; quote it: \"{{ … }}\""


@dataclass(frozen=True)
class Finding:
    """One fault below some node. `subject` is the thing it is about, from the outside in: "machine 'web': memory"."""

    line: int
    text: str
    subject: str = ""

    def in_key(self, key: str) -> Finding:
        """The finding as the mapping tells it that holds it under `key`: a nearer subject says more than a key."""
        return self if self.subject else replace(self, subject=key)

    def in_label(self, label: str) -> Finding:
        """The finding as told from outside of the thing called `label`."""
        return replace(self, subject=f"{label}: {self.subject}" if self.subject else label)

    @property
    def sentence(self) -> str:
        return f"{self.subject}: {self.text}" if self.subject else self.text


class Refused(Exception):
    """All that is wrong with a node and below it."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(finding.sentence for finding in self.findings))


class Wrong(ValueError):
    """Raised by a converter or a builder: what is wrong, and with which key where that is known."""

    def __init__(self, text: str, *, key: str = "") -> None:
        self.key = key
        super().__init__(text)


class ShallowComposer(Composer):
    """Stops where a text is nested deeper than anything that is meant: the library's time grows with the square. And
    where its aliases stand for more than it could hold, or for themselves: who walks the nodes walks all of that."""

    depth = 0
    nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event, before = self.parser.peek_event(), self.nodes
        if isinstance(event, AliasEvent):
            self.nodes += self._sizes.get(event.anchor, MOST_NODES + 1 if event.anchor in self.anchors else 0)
        else:
            self.nodes, self.depth = self.nodes + 1, self.depth + 1
        if self.depth > MOST_DEPTH:
            raise ComposerError(None, None, "it is nested too deeply", event.start_mark)
        if self.nodes > MOST_NODES:
            raise ComposerError(None, None, "its aliases stand for too much", event.start_mark)
        node = super().compose_node(parent, index)
        if not isinstance(event, AliasEvent):
            self.depth -= 1
            if event.anchor:
                self._sizes[event.anchor] = self.nodes - before
        return node

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """How many nodes each anchor stands for, once it is read whole."""
        return {}


def compose(text: str) -> Node:
    """The root node of `text`. Raises Refused for text that is no YAML, or holds nothing."""
    try:
        yaml = YAML(typ="rt", pure=True)
        yaml.Composer = ShallowComposer
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Refused([_syntax_finding(text, mark.line if mark else 0, str(error.problem))]) from None
    except YAMLError as error:
        raise Refused([Finding(1, f"not valid YAML: {str(error).partition(chr(10))[0]}")]) from None
    if root is None:
        raise Refused([Finding(1, "holds nothing")])
    return root  # type: ignore[no-any-return]


def _syntax_finding(text: str, line: int, problem: str) -> Finding:
    """A value that starts with braces is often noticed only lines later, and as something else: look for it first."""
    for number, written in enumerate(text.splitlines()[: line + 1], start=1):
        if BARE_BRACES.match(written):
            return Finding(number, QUOTE_IT)
    return Finding(line + 1, f"not valid YAML: {problem}")


def line_of(node: Node) -> int:
    """The 1-based line on which `node` begins."""
    return int(node.start_mark.line) + 1


def entries(node: Node | None) -> list[tuple[Node, Node]]:
    """The keys and values of a mapping node; nothing for any other."""
    return list(node.value) if isinstance(node, MappingNode) else []


def items(node: Node | None) -> list[Node]:
    """The entries of a list node; nothing for any other."""
    return list(node.value) if isinstance(node, SequenceNode) else []


def child(node: Node, key: str) -> Node | None:
    """The value of `key` in a mapping node, without judging anything; None where there is none."""
    return next((value for name, value in entries(node) if name.value == key), None)


def peek(node: Node, key: str) -> str | None:
    """The text of `key` in a mapping node, without judging anything; None where there is none."""
    value = child(node, key)
    return str(value.value) if isinstance(value, ScalarNode) else None


def text_of(node: Node) -> str:
    """The text of a scalar. Raises Refused for lists, mappings and nothing."""
    expect(node, ScalarNode)
    plain = getattr(node, "style", None) is None
    if plain and node.tag == "tag:yaml.org,2002:null":
        raise Refused([Finding(line_of(node), "is empty; give a value or leave the key out")])
    return str(node.value)


def expect(node: Node, kind: type[Node]) -> None:
    """Raises Refused where `node` is of another kind."""
    if isinstance(node, kind):
        return
    if any(isinstance(key, MappingNode) for key, _ in entries(node)):
        raise Refused([Finding(line_of(node), QUOTE_IT)])
    raise Refused([Finding(line_of(node), f"wants {KINDS[kind]}, not {KINDS[type(node)]}")])


def scalars(node: Node) -> Iterator[ScalarNode]:
    """Every single value at and below `node`, in order."""
    if isinstance(node, ScalarNode):
        yield node
    for below in items(node) + [value for _, value in entries(node)]:
        yield from scalars(below)
