"""Kubernetes' protobuf is read as the JSON that says the same; what is torn is refused, never half read."""

from __future__ import annotations

import random
from typing import Any

import pytest

from labkit.local.api.protobuf import decode
from labkit.local.api.status import ApiError


def field(number: int, value: bytes | int) -> bytes:
    """One field on the wire; lengths and numbers below 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def body(kind: str, content: bytes) -> bytes:
    """A whole body."""
    return b"k8s\0" + field(1, field(1, b"v1") + field(2, kind.encode())) + field(2, content)


META = field(1, b"a") + field(2, b"") + field(8, b"") + field(11, field(1, b"k") + field(2, b"v"))
SECRET = body("Secret", field(1, META) + field(2, field(1, b"x") + field(2, b"\xff")) + field(3, b"Opaque"))
PORT = field(1, b"http") + field(3, 80) + field(4, field(1, 0) + field(2, 8) + field(3, b""))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (SECRET, {"metadata": {"name": "a", "labels": {"k": "v"}}, "data": {"x": "/w=="}, "type": "Opaque"}),
        (
            body("Service", field(2, field(1, PORT) + field(1, field(4, field(1, 1) + field(3, b"web"))))),
            {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8}, {"targetPort": "web"}]}},
        ),
        (body("ServiceAccount", field(4, 0)), {"automountServiceAccountToken": False}),
        (body("DeleteOptions", field(1, 0) + field(4, b"Foreground")),
         {"gracePeriodSeconds": 0, "propagationPolicy": "Foreground"}),
        (body("ResourceQuota", field(2, field(1, field(1, b"pods") + field(2, field(1, b"4"))))),
         {"spec": {"hard": {"pods": "4"}}}),
        (body("Event", field(6, field(1, 60))), {"firstTimestamp": "1970-01-01T00:01:00Z"}),
        (body("Namespace", field(2, b"") + field(15, b"unknown")), {"spec": {}}),
    ],
)  # fmt: skip
def test_a_body_says_what_its_json_would(raw: bytes, said: dict[str, Any]) -> None:
    found = decode(raw)
    assert {key: value for key, value in found.items() if key not in ("apiVersion", "kind")} == said


def test_a_kind_whose_numbers_are_not_known_is_named() -> None:
    with pytest.raises(ApiError) as refused:
        decode(body("Deployment", b""))
    assert refused.value.code == 415
    assert "Deployment" in refused.value.message


def test_a_body_changed_anywhere_is_read_or_refused() -> None:
    chance = random.Random(1)  # noqa: S311 - the same bytes every time
    answers = set()
    for _ in range(3000):
        raw = bytearray(SECRET[: chance.randrange(4, len(SECRET) + 1)])
        for _ in range(chance.randrange(4)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        try:
            answers.add(type(decode(bytes(raw))))
        except ApiError as error:
            answers.add(error.code)
    assert answers == {dict, 400, 415}
