"""YAML text to values, with every fault and its line. Imports nothing of ours but the wording of messages."""

from labkit.documents.nodes import Finding, Refused, Wrong, child, compose, entries, items, line_of, peek, scalars
from labkit.documents.readers import (
    Reader,
    Row,
    Schema,
    by_key,
    by_kind,
    listing,
    mapping,
    named,
    read,
    refusing,
    scalar,
    shaped,
    table,
)
from labkit.documents.typed import anything, free

__all__ = [
    "Finding",
    "Reader",
    "Refused",
    "Row",
    "Schema",
    "Wrong",
    "anything",
    "by_key",
    "by_kind",
    "child",
    "compose",
    "entries",
    "free",
    "items",
    "line_of",
    "listing",
    "mapping",
    "named",
    "peek",
    "read",
    "refusing",
    "scalar",
    "scalars",
    "shaped",
    "table",
]
