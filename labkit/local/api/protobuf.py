"""Kubernetes' protobuf, as Go's typed clients send it (``kubectl create role``, ``kubectl auth can-i``): read only.

A body is ``k8s\\0`` and a message Unknown {1: {1: apiVersion, 2: kind}, 2: the object}. Answers are JSON, which these
clients accept. Names and types come from the schemas, numbers from ``protobuf.txt``. Empty strings are what Go sends
for fields that are not set, and are left out. Pure but for that one file.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from labkit.local.api import status
from labkit.local.api.schemas import REFS, Node, definitions
from labkit.local.objects import Obj, timestamp

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_VARINT, _BYTES = 0, 2
_SKIPPED = {1: 8, 5: 4}


def decode(raw: bytes) -> Obj:
    """The object in a body. ApiError 400 where it cannot be read, 415 for a kind whose numbers are not known."""
    try:
        body = dict(_fields(raw.removeprefix(_MAGIC)))
        about = {number: bytes(text).decode() for number, text in _fields(body[1])}
        if (name := about[2]) not in _numbers():
            raise status.unsupported_media_type(f"{MEDIA_TYPE} of {name}", ["application/json"])
        return {"apiVersion": about.get(1, ""), "kind": name, **_message(name, body.get(2, b""))}
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise status.bad_request(f"the body is not Kubernetes' protobuf: {error!r}") from error


@cache
def _numbers() -> dict[str, list[str]]:
    lines = Path(__file__).with_suffix(".txt").read_text().splitlines()
    found = (line.partition(": ") for line in lines if not line.startswith("#"))
    return {name: fields.split() for name, _, fields in found}


@cache
def _properties(name: str) -> dict[str, Node]:
    """The fields of a message by its short name, which is unique among those that are served."""
    return next(node.get("properties", {}) for key, node in definitions().items() if key.rpartition(".")[2] == name)


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value (an int, or bytes) of every field of a message."""
    position = 0

    def varint() -> int:
        nonlocal position
        value, shift = 0, 0
        while True:
            byte = raw[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    while position < len(raw):
        number, form = divmod(varint(), 8)
        if form in _SKIPPED:
            position += _SKIPPED[form]
            continue
        value: int | bytes = varint()
        if form == _BYTES:
            end = position + int(value)
            if end > len(raw):
                raise ValueError("it ends too early")
            value, position = raw[position:end], end
        elif form != _VARINT:
            raise ValueError(f"wire type {form}")
        yield number, value


def _message(name: str, raw: bytes) -> Obj:
    found: Obj = {}
    names, nodes = _numbers().get(name, []), _properties(name)
    for number, wire in _fields(raw):
        key = names[number - 1] if 0 < number <= len(names) else "-"
        if (node := nodes.get(key)) is None:
            continue
        if node.get("type") == "array":
            found.setdefault(key, []).append(_value(node["items"], wire))
        elif "additionalProperties" in node:
            entry = dict(_fields(wire))
            value = _value(node["additionalProperties"], entry.get(2, b""))
            found.setdefault(key, {})[bytes(entry[1]).decode()] = value
        elif (value := _value(node, wire)) not in ("", None):
            found[key] = value
    return found


def _value(node: Node, wire: Any) -> Any:
    name = node.get("$ref", "").removeprefix(REFS).rpartition(".")[2]
    if name in ("Time", "MicroTime"):
        seconds = dict(_fields(wire)).get(1)
        return None if seconds is None else timestamp(datetime.fromtimestamp(_signed(seconds), UTC))
    if name == "Quantity":
        return bytes(dict(_fields(wire)).get(1, b"")).decode()
    if name == "IntOrString":
        parts = dict(_fields(wire))
        return bytes(parts.get(3, b"")).decode() if parts.get(1) else _signed(parts.get(2, 0)) or None
    if name:
        return _message(name, wire)
    if node["type"] == "array":
        return [_value(node["items"], item) for _, item in _fields(wire)]
    if node["type"] == "string":
        return base64.b64encode(wire).decode() if node.get("format") == "byte" else bytes(wire).decode()
    return bool(wire) if node["type"] == "boolean" else _signed(wire)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
