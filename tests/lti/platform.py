"""A learning platform for tests: its key, an HTTP server for its public keys, and messages recorded from Moodle 4.5."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from labkit.store import Platform

MESSAGES = Path(__file__).parent / "messages"
TOOL = "https://tool.example"
_RECORDED = {"platform": "http://127.0.0.1:8081", "tool": "http://127.0.0.1:9001", "client": "eKtPulm0UbDjTWj"}


@cache
def rsa(number: int) -> RSAPrivateKey:
    """A key; the same number gives the same one."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def jwk(key: RSAPrivateKey, kid: str, **more: str) -> dict[str, Any]:
    """A public key as platforms publish it."""
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": "RS256", "use": "sig"} | more


@dataclass
class MockPlatform:
    """One platform. `fetches` counts how often its keys were asked for; `answer` may be set to anything."""

    url: str
    client_id: str = "client-1"
    keys: dict[str, RSAPrivateKey] = field(default_factory=lambda: {"key-1": rsa(1)})
    fetches: list[str] = field(default_factory=list)
    answer: Callable[[BaseHTTPRequestHandler], None] | None = None

    def registered(self, **more: Any) -> Platform:
        """The platform as an operator registers it."""
        paths = {f"{name}_url": f"{self.url}/{name}" for name in ("auth", "token", "jwks")}
        known = {"id": f"p{self.url[-5:]}{self.client_id[-1]}", "issuer": self.url, "client_id": self.client_id}
        rest: dict[str, Any] = {"name": "Test Moodle", "deployments": ("1",), "created": 1.0}
        return Platform(**{**known, **paths, **rest, **more})

    def message(self, name: str, nonce: str, /, **changed: Any) -> dict[str, Any]:
        """A recorded message as this platform would send it now; `changed` by claim, of which None removes it.

        A claim of LTI's may be named by its last word.
        """
        text = (MESSAGES / f"{name}.json").read_text()
        for what, now in (("platform", self.url), ("tool", TOOL), ("client", self.client_id)):
            text = text.replace(_RECORDED[what], now)
        claims: dict[str, Any] = json.loads(text)
        moment = int(time.time())
        claims |= {"nonce": nonce, "iat": moment, "exp": moment + 60}
        claims[claim("custom")]["lab"] = "hello-lab"
        for word, value in changed.items():
            claims[claim(word)] = value
        return {word: value for word, value in claims.items() if value is not None}

    def sign(self, claims: Mapping[str, Any], kid: str = "key-1", **header: Any) -> str:
        """An id_token."""
        return jwt.encode(dict(claims), self.keys[kid], algorithm="RS256", headers={"kid": kid} | header)

    def jwks(self) -> bytes:
        return json.dumps({"keys": [jwk(key, kid) for kid, key in self.keys.items()]}).encode()


def claim(word: str) -> str:
    """A claim's whole name."""
    own = {"endpoint": "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"}
    own["namesroleservice"] = "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"
    own["deep_linking_settings"] = "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings"
    lti = ("version", "message_type", "deployment_id", "roles", "context", "resource_link", "target_link_uri", "custom")
    more = ("launch_presentation", "for_user", "lis", "tool_platform")
    return own.get(word) or (f"https://purl.imsglobal.org/spec/lti/claim/{word}" if word in lti + more else word)


@contextmanager
def running_platform(**more: Any) -> Iterator[MockPlatform]:
    """A platform whose keys can be fetched."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mock.fetches.append(self.path)
            if mock.answer is not None:
                return mock.answer(self)
            body = mock.jwks()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return None

        def log_message(self, format: str, *args: Any) -> None:
            """The tests' output is no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mock = MockPlatform(f"http://127.0.0.1:{server.server_port}", **more)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield mock
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
