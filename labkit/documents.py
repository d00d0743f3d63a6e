"""YAML text to values, with every fault and its line. Imports nothing of ours but the wording of messages.

A *reader* is a function from a YAML node to a value. Where the node is wrong it raises `Refused`, which carries all
faults below that node, so that a mapping can go on with its other keys and report everything at once. What a mapping
may hold is a table of `Row`s; a new key is a new row.

Values are read from the text as it was written, never by YAML's own types: `1.10` stays `1.10`, `no` stays `no`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from labkit.wording import did_you_mean

KINDS = {ScalarNode: "a single value", SequenceNode: "a list", MappingNode: "keys and values"}
MOST_DEPTH = 20
BARE_BRACES = re.compile(r"\s*(?:[\w-]+:|-)\s+\{\{")
QUOTE_IT = "a value that starts with '{{' means something else in YAML; quote it: \"{{ … }}\""

Reader = Callable[[Node], Any]


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


@dataclass(frozen=True)
class Row:
    """One key of a mapping. `example` is what the message on a missing key proposes to write."""

    key: str
    read: Reader
    required: bool = False
    default: Any = None
    example: str = ""


class ShallowComposer(Composer):
    """Stops where a text is nested deeper than anything that is meant: the library's time grows with the square."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise ComposerError(None, None, "it is nested too deeply", self.parser.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


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


def read(text: str, reader: Reader, *, line_offset: int = 0) -> Any:
    """What `reader` makes of `text`, of which `line_offset` lines stand before it in its file.

    Raises Refused with every fault.
    """
    return reader(compose("\n" * line_offset + text))


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
    _expect(node, ScalarNode)
    plain = getattr(node, "style", None) is None
    if plain and node.tag == "tag:yaml.org,2002:null":
        raise Refused([Finding(line_of(node), "is empty; give a value or leave the key out")])
    return str(node.value)


def _expect(node: Node, kind: type[Node]) -> None:
    if isinstance(node, kind):
        return
    if any(isinstance(key, MappingNode) for key, _ in entries(node)):
        raise Refused([Finding(line_of(node), QUOTE_IT)])
    raise Refused([Finding(line_of(node), f"wants {KINDS[kind]}, not {KINDS[type(node)]}")])


def scalar(convert: Callable[[str], Any]) -> Reader:
    """A reader of one value; `convert` makes it from the text, or raises Wrong."""

    def read_scalar(node: Node) -> Any:
        try:
            return convert(text_of(node))
        except Wrong as wrong:
            raise Refused([Finding(line_of(node), str(wrong))]) from None

    return read_scalar


def not_built(what: str) -> Reader:
    """A reader for what the format knows and this version does not do yet."""

    def refuse(node: Node) -> Any:
        raise Refused([Finding(line_of(node), f"{what} is not built in this version")])

    return refuse


def listing(
    item: Reader, *, name: Callable[[Node], str | None] | None = None, least: int = 0, most: int = 64
) -> Reader:
    """A reader of a list, as a tuple. `name` gives an item's name; two items of one name are a fault."""

    def read_listing(node: Node) -> tuple[Any, ...]:
        _expect(node, SequenceNode)
        if not least <= len(node.value) <= most:
            raise Refused([Finding(line_of(node), f"wants {least} to {most} entries, not {len(node.value)}")])
        findings = _repeated(node.value, name) if name else []
        values = []
        for entry in node.value:
            try:
                values.append(item(entry))
            except Refused as refused:
                findings += refused.findings
        _refuse_if(findings)
        return tuple(values)

    return read_listing


def _repeated(nodes: Sequence[Node], name: Callable[[Node], str | None]) -> list[Finding]:
    seen: dict[str, int] = {}
    findings = []
    for node in nodes:
        word = name(node)
        if word is not None and word in seen:
            text = f"'{word}' stands here again (first in line {seen[word]}); give each its own name"
            findings.append(Finding(line_of(node), text))
        elif word is not None:
            seen[word] = line_of(node)
    return findings


def _refuse_if(findings: Sequence[Finding]) -> None:
    if findings:
        raise Refused(findings)


def mapping(rows: Sequence[Row], build: Callable[..., Any], *, label: Callable[[Node], str] | None = None) -> Reader:
    """A reader of keys and values: `build` gets every row's key as a keyword argument, and may raise Wrong.

    `label` names the node ("machine 'web'") in front of every fault within it.
    """
    known = {row.key: row for row in rows}

    def read_mapping(node: Node) -> Any:
        try:
            return _read_rows(node, known, build)
        except Refused as refused:
            if label is None:
                raise
            raise Refused(finding.in_label(label(node)) for finding in refused.findings) from None

    return read_mapping


def _read_rows(node: Node, known: Mapping[str, Row], build: Callable[..., Any]) -> Any:
    given, findings = _given(node, known)
    values = {}
    for key, row in known.items():
        if key not in given:
            values[key] = row.default
            findings += _missing(node, row)
            continue
        try:
            values[key] = row.read(given[key])
        except Refused as refused:
            findings += [finding.in_key(key) for finding in refused.findings]
    _refuse_if(findings)
    try:
        return build(**values)
    except Wrong as wrong:
        finding = Finding(line_of(given.get(wrong.key, node)), str(wrong))
        raise Refused([finding.in_key(wrong.key) if wrong.key else finding]) from None


def _missing(node: Node, row: Row) -> list[Finding]:
    if not row.required:
        return []
    example = f"; write for example '{row.example}'" if row.example else ""
    return [Finding(line_of(node), f"key '{row.key}' is missing{example}")]


def _given(node: Node, known: Mapping[str, Row]) -> tuple[dict[str, Node], list[Finding]]:
    """The nodes under known keys, and the faults of the keys themselves."""
    _expect(node, MappingNode)
    given: dict[str, Node] = {}
    findings = []
    for name, value in node.value:
        if not isinstance(name, ScalarNode):
            findings.append(Finding(line_of(name), QUOTE_IT))
        elif name.value in given:
            text = f"key '{name.value}' stands here again (first in line {line_of(given[name.value])}); keep one"
            findings.append(Finding(line_of(name), text))
        elif name.value not in known:
            findings.append(Finding(line_of(name), f"unknown key '{name.value}'{did_you_mean(name.value, known)}"))
        else:
            given[name.value] = value
    return given, findings


def table(key: Callable[[str], Any], value: Reader, *, label: Callable[[str], str]) -> Reader:
    """A reader of a mapping whose keys the author chooses; `key` converts a name or raises Wrong."""

    def read_table(node: Node) -> dict[str, Any]:
        _expect(node, MappingNode)
        findings = _repeated([name for name, _ in node.value], lambda name: str(name.value))
        values = {}
        for name, content in node.value:
            try:
                values[scalar(key)(name)] = value(content)
            except Refused as refused:
                findings += [finding.in_label(label(str(name.value))) for finding in refused.findings]
        _refuse_if(findings)
        return values

    return read_table
