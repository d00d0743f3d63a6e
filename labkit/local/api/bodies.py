"""The bytes of a request's body as plain values that can be stored: JSON or YAML."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from aiohttp import web
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from labkit.local.api import protobuf, status
from labkit.local.objects import timestamp

ACCEPTED = ("application/json", "application/yaml")
LONGEST = 4096
"""Items of a list: merging and checking compare each with each."""
_LARGE = 64 * 2**10
_DEEPEST = 100
_MOST = 50_000
"""Values and keys in a body: checking it takes a good part of a second then, during which nobody else is answered."""


@dataclass(frozen=True)
class Body:
    """What was sent; ``duplicates`` are the names that one object had twice (the last one counts)."""

    value: Any
    media_type: str
    duplicates: tuple[str, ...] = ()


async def read(request: web.Request) -> Body:
    """A request's body, decoded aside where that takes long."""
    raw = await request.read()
    media_type = request.content_type if "Content-Type" in request.headers else "application/json"
    if not raw:
        return Body(None, media_type)
    slow = len(raw) > _LARGE or not media_type.endswith("json")
    return await asyncio.to_thread(decode, raw, media_type) if slow else decode(raw, media_type)


def decode(raw: bytes, media_type: str) -> Body:
    """Read a body. ApiError 415 for another type, 400 for what cannot be read or is no value of the API."""
    if media_type == protobuf.MEDIA_TYPE:
        return Body(protobuf.decode(raw), "application/json")
    if not media_type.endswith(("json", "yaml")):
        raise status.unsupported_media_type(media_type, ACCEPTED)
    duplicates: list[str] = []

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            duplicates.extend(sorted(name for name, n in Counter(name for name, _ in pairs).items() if n > 1))
        return found

    try:
        text = raw.decode()
        if media_type.endswith("yaml"):
            value = YAML(typ="safe", pure=True).load(text)
        else:
            value = json.loads(text, object_pairs_hook=fields)
        return Body(plain(value), media_type, tuple(duplicates))
    except RecursionError as error:
        raise status.bad_request(f"the body is nested more than {_DEEPEST} levels deep") from error
    except (ValueError, YAMLError) as error:
        what = "YAML" if media_type.endswith("yaml") else "JSON"
        raise status.bad_request(f"the body is not {what} as the API has it: {error}") from error


def plain(value: Any) -> Any:
    """The value as it can be stored. ValueError where it is too deep or too much, or has no form in the API."""
    return _plain(value, _DEEPEST, iter(range(_MOST)))


def _plain(value: Any, deeper: int, left: Iterator[int]) -> Any:
    if not deeper or next(left, None) is None:
        raise ValueError(f"nested more than {_DEEPEST} levels deep, or of more than {_MOST} values")
    if isinstance(value, dict):
        return {_plain(str(key), deeper, left): _plain(item, deeper - 1, left) for key, item in value.items()}
    if isinstance(value, list):
        if len(value) > LONGEST:
            raise ValueError(f"a list of more than {LONGEST} items")
        return [_plain(item, deeper - 1, left) for item in value]
    if isinstance(value, str):
        # Half a surrogate pair is no text that could be written anywhere.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("an integer needs more than 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a number")
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise ValueError(f"a {type(value).__name__} has no place in it")
