"""Readers: from a YAML node to a value, with all faults at once; each knows the JSON Schema of what it takes.

A reader that finds its node wrong raises `Refused` with all faults below it, so that a mapping can go on with its other
keys. What a mapping may hold is a table of `Row`s; a new key is a new row.

Values are read from the text as it was written, never by YAML's own types (`1.10` stays `1.10`, `no` stays `no`);
`anything` alone keeps YAML's types, for what goes on to a program that has types of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from labkit.documents.nodes import (
    KINDS,
    QUOTE_IT,
    Finding,
    Refused,
    Wrong,
    compose,
    expect,
    line_of,
    peek,
    text_of,
)
from labkit.wording import did_you_mean

Schema = Mapping[str, Any]
WORD: Schema = {"type": ["string", "number", "boolean"]}
"""Any single value: an editor's YAML takes `1.10` for a number and `no` for a truth, labkit for words."""


@dataclass(frozen=True)
class Reader:
    """What makes a value of a node; `schema` is the JSON Schema of what it takes, for editors."""

    read: Callable[[Node], Any]
    schema: Schema

    def __call__(self, node: Node) -> Any:
        return self.read(node)


@dataclass(frozen=True)
class Row:
    """One key of a mapping. `help` says what it holds, in pages and in editors.

    `example` is what the message on a missing key proposes to write.
    """

    key: str
    read: Reader
    help: str = ""
    required: bool = False
    default: Any = None
    example: str = ""


def read(text: str, reader: Reader, *, line_offset: int = 0) -> Any:
    """What `reader` makes of `text`, of which `line_offset` lines stand before it in its file.

    Raises Refused with every fault.
    """
    return reader(compose("\n" * line_offset + text))


def shaped(schema: Schema) -> Callable[[Callable[[str], Any]], Callable[[str], Any]]:
    """Marks a converter (text to value) with the JSON Schema of the text that it takes."""

    def mark(convert: Callable[[str], Any]) -> Callable[[str], Any]:
        convert.schema = schema  # type: ignore[attr-defined]
        return convert

    return mark


def scalar(convert: Callable[[str], Any]) -> Reader:
    """A reader of one value; `convert` makes it from the text, or raises Wrong."""

    def read_scalar(node: Node) -> Any:
        try:
            return convert(text_of(node))
        except Wrong as wrong:
            raise Refused([Finding(line_of(node), str(wrong))]) from None

    return Reader(read_scalar, getattr(convert, "schema", WORD))


def refusing(why: str) -> Reader:
    """A reader for a key that is known and may not stand here."""

    def refuse(node: Node) -> Any:
        raise Refused([Finding(line_of(node), why)])

    return Reader(refuse, {"not": {}})


def by_kind(readers: Mapping[type[Node], Reader]) -> Reader:
    """A reader of one value, a list or a mapping, each read in its own way."""
    wanted = " or ".join(KINDS[kind] for kind in readers)

    def read_kind(node: Node) -> Any:
        reader = readers.get(type(node))
        if reader is None:
            raise Refused([Finding(line_of(node), f"wants {wanted}, not {KINDS[type(node)]}")])
        return reader(node)

    return Reader(read_kind, {"anyOf": [reader.schema for reader in readers.values()]})


def listing(
    item: Reader, *, name: Callable[[Node], str | None] | None = None, least: int = 0, most: int = 64
) -> Reader:
    """A reader of a list, as a tuple. `name` gives an item's name; two items of one name are a fault."""

    def read_listing(node: Node) -> tuple[Any, ...]:
        expect(node, SequenceNode)
        if not least <= len(node.value) <= most:
            raise Refused([Finding(line_of(node), f"wants {least} to {most} entries, not {len(node.value)}")])
        findings = repeated(node.value, name) if name else []
        values = []
        for entry in node.value:
            try:
                values.append(item(entry))
            except Refused as refused:
                findings += refused.findings
        refuse_if(findings)
        return tuple(values)

    return Reader(read_listing, {"type": "array", "items": item.schema, "minItems": least, "maxItems": most})


def named(node: Node) -> str | None:
    """The name of a list's item that has a key `name`."""
    return peek(node, "name")


def repeated(nodes: Sequence[Node], name: Callable[[Node], str | None]) -> list[Finding]:
    """A fault for every node whose name stands there again."""
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


def refuse_if(findings: Sequence[Finding]) -> None:
    """Raises Refused where there are findings."""
    if findings:
        raise Refused(findings)


def mapping(
    rows: Sequence[Row],
    build: Callable[..., Any],
    *,
    label: Callable[[Node], str] | None = None,
    elsewhere: Mapping[str, str] | None = None,
) -> Reader:
    """A reader of keys and values: `build` gets every row's key as a keyword argument, and may raise Wrong.

    `label` names the node ("machine 'web'") in front of every fault within it. `elsewhere` are keys that belong to
    another mapping, each with the words that say so.
    """
    known = {row.key: row for row in rows}

    def read_mapping(node: Node) -> Any:
        try:
            return _read_rows(node, known, elsewhere or {}, build)
        except Refused as refused:
            if label is None:
                raise
            raise Refused(finding.in_label(label(node)) for finding in refused.findings) from None

    return Reader(read_mapping, _schema(rows))


def _schema(rows: Sequence[Row]) -> Schema:
    described = {row.key: {**row.read.schema, **({"description": row.help} if row.help else {})} for row in rows}
    needed = [row.key for row in rows if row.required]
    schema = {"type": "object", "additionalProperties": False, "properties": described}
    return {**schema, "required": needed} if needed else schema


def by_key(key: str, readers: Mapping[str, Reader], fallback: str) -> Reader:
    """A reader of a mapping whose `key` says which of `readers` reads it (`fallback` where it says none of them)."""

    def read_one(node: Node) -> Any:
        return readers.get(peek(node, key) or fallback, readers[fallback])(node)

    schemas = []
    for word, reader in readers.items():
        rows = reader.schema["properties"]
        schemas.append({**reader.schema, "properties": {**rows, key: {**rows[key], "enum": [word]}}})
    return Reader(read_one, {"oneOf": schemas})


def _read_rows(node: Node, known: Mapping[str, Row], elsewhere: Mapping[str, str], build: Callable[..., Any]) -> Any:
    given, findings = _given(node, known, elsewhere)
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
    refuse_if(findings)
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


def _given(node: Node, known: Mapping[str, Row], elsewhere: Mapping[str, str]) -> tuple[dict[str, Node], list[Finding]]:
    """The nodes under known keys, and the faults of the keys themselves."""
    expect(node, MappingNode)
    given: dict[str, Node] = {}
    findings = []
    for name, value in node.value:
        if not isinstance(name, ScalarNode):
            findings.append(Finding(line_of(name), QUOTE_IT))
        elif name.value in given:
            text = f"key '{name.value}' stands here again (first in line {line_of(given[name.value])}); keep one"
            findings.append(Finding(line_of(name), text))
        elif name.value not in known:
            why = elsewhere.get(name.value)
            unknown = f"unknown key '{name.value}'{did_you_mean(name.value, known)}"
            findings.append(Finding(line_of(name), f"key '{name.value}' {why}" if why else unknown))
        else:
            given[name.value] = value
    return given, findings


def table(key: Callable[[str], Any], value: Reader, *, label: Callable[[str], str]) -> Reader:
    """A reader of a mapping whose keys the author chooses; `key` converts a name or raises Wrong."""

    def read_table(node: Node) -> dict[str, Any]:
        expect(node, MappingNode)
        findings = repeated([name for name, _ in node.value], lambda name: str(name.value))
        values = {}
        for name, content in node.value:
            try:
                values[scalar(key)(name)] = value(content)
            except Refused as refused:
                findings += [finding.in_label(label(str(name.value))) for finding in refused.findings]
        refuse_if(findings)
        return values

    return Reader(read_table, {"type": "object", "additionalProperties": value.schema})
