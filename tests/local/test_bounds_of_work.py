"""No request keeps the engine from its other clients for long, however its body is made."""

from __future__ import annotations

import json
import time

import pytest

from labkit.local.api.bodies import decode
from labkit.local.api.status import ApiError
from tests.local.test_junk import JSON, SECRETS, YAML, raw
from tests.support.engine import EngineProcess, until


def test_keys_said_twice_are_found_in_one_pass() -> None:
    keys = ",".join(f'"k{n % 10_000}":0' for n in range(30_000))
    began = time.monotonic()
    assert len(decode(f"{{{keys}}}".encode(), JSON).duplicates) == 10_000
    assert time.monotonic() - began < 2


def test_a_list_is_not_longer_than_can_be_compared() -> None:
    with pytest.raises(ApiError, match="a list of more than"):
        decode(json.dumps([0] * 5000).encode(), JSON)


def test_a_body_has_no_more_values_than_can_be_checked_while_others_wait() -> None:
    with pytest.raises(ApiError, match="of more than 50000 values"):
        decode(json.dumps({f"k{n}": "" for n in range(30_000)}).encode(), JSON)


def test_yaml_does_not_keep_others_waiting(engine: EngineProcess) -> None:
    from concurrent.futures import ThreadPoolExecutor

    body = b"a:\n" + b"".join(b" - {b: c, d: [e, f]}\n" for _ in range(2500))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(raw, engine, "POST", SECRETS, body, YAML)
        waits = []
        until(lambda: waits.append(wait(engine)) or slow.done())
    assert max(waits) < 0.5


def wait(engine: EngineProcess) -> float:
    """Seconds until the engine answers."""
    began = time.monotonic()
    assert engine.request("GET", "/readyz")[0] == 200
    return time.monotonic() - began
