"""Readers of what goes on to a program that has types of its own: values with YAML 1.2's types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from labkit.documents.nodes import Finding, Refused, entries, expect, items, line_of, text_of
from labkit.documents.readers import Reader, refuse_if, repeated


def _typed(node: Node) -> Any:
    if isinstance(node, MappingNode):
        findings = repeated([name for name, _ in node.value], lambda name: str(name.value))
        refuse_if(findings)
        return {text_of(name): _typed(value) for name, value in entries(node)}
    if isinstance(node, SequenceNode):
        return [_typed(value) for value in items(node)]
    convert = _TYPES.get(str(node.tag) if getattr(node, "style", None) is None else "", str)
    try:
        return convert(node.value)
    except ValueError:
        raise Refused([Finding(line_of(node), f"'{node.value}' is no value that JSON has; quote it")]) from None


_TYPES: Mapping[str, Callable[[str], Any]] = {
    "tag:yaml.org,2002:null": lambda text: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": lambda text: int(text, 0) if text.startswith("0x") else int(text),
    "tag:yaml.org,2002:float": float,
}
anything = Reader(_typed, {})
"""Whatever the author wrote, with YAML 1.2's types."""


def _object(node: Node) -> dict[str, Any]:
    expect(node, MappingNode)
    found: dict[str, Any] = _typed(node)
    return found


free = Reader(_object, {"type": "object"})
"""Keys and values of the author's choosing, with YAML 1.2's types."""
