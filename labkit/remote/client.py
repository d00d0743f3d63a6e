"""`Labs` over HTTP: each call is its row of the table, asked of a service with a token. Needs no engine, no cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from labkit import wire
from labkit.errors import ClusterUnavailable, LabkitError, NotBuilt, NotFound, SetupError
from labkit.model import Principal
from labkit.orchestrator.labs import Labs
from labkit.remote.calls import NOT_REMOTE, ROOT, TABLE, Api, Call
from labkit.remote.problems import raised

_CALLS = {call.name: call for call in TABLE}
_TIMEOUT = urllib3.Timeout(connect=10, read=90)
_AGAIN = urllib3.Retry(total=3, redirect=False, status=False, other=False, backoff_factor=0.3, allowed_methods=["GET"])
"""Only what changes nothing is asked twice. A redirection is not followed: the token is for this service alone."""
_MOST_BYTES = 64 << 20


class RemoteLabs:
    """A service's `Labs`. Each call's principal is the token's, whatever principal is named.

    Raises what `Labs` raises; ClusterUnavailable where the service cannot be reached.
    """

    def __init__(self, url: str, token: str) -> None:
        """`url` is the service's root, with any prefix. Raises SetupError where it is none, or there is no token."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise SetupError(f"LABKIT_URL is {url!r}; it must be like https://labs.example.org/")
        if not token or not token.isascii() or not token.isprintable():
            raise SetupError("LABKIT_URL is set, but no token: set LABKIT_TOKEN (`labkit tokens create` makes one)")
        self.root = url.rstrip("/") + "/"
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", "User-Agent": "labkit"}
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=_AGAIN)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in NOT_REMOTE:
            return _refused(f"{name} is not served from afar: {NOT_REMOTE[name]}")
        call = _CALLS.get(name)
        if call is None:
            raise AttributeError(f"Labs has no method {name!r}")
        return lambda principal, *given, **named: self._ask(call, *given, **named)

    def _ask(self, call: Call, *given: Any, **named: Any) -> Any:
        values = call.signature.bind(*given, **named).arguments
        defaults = call.signature.parameters
        rest = {
            name: each for name, each in values.items() if name not in call.in_path and each != defaults[name].default
        }
        plain = wire.to_json(dict[str, Any], rest)
        url = self.root.rstrip("/") + ROOT + call.path.format(**{name: _part(values[name]) for name in call.in_path})
        if call.in_body:
            return self._answer(call, url, json.dumps(plain).encode())
        query = {name: str(value).lower() if isinstance(value, bool) else value for name, value in plain.items()}
        return self._answer(call, f"{url}?{urlencode(query)}" if query else url, None)

    def _answer(self, call: Call, url: str, body: bytes | None) -> Any:
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        try:
            answer = self._pool.request(call.method, url, body=body, headers=headers, preload_content=False)
            data = answer.read(_MOST_BYTES + 1)
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise ClusterUnavailable(f"{self.root} does not answer: {_why(error)}") from None
        if len(data) > _MOST_BYTES:
            raise LabkitError(f"{self.root} answered {call.name} with more than {_MOST_BYTES >> 20} MiB")
        if not 200 <= answer.status < 300:
            raise raised(answer.status, _read(data))
        if call.result in (bytes, type(None)):
            return data if call.result is bytes else None
        try:
            return wire.from_json(call.result, _read(data))
        except wire.NotReadable as error:
            raise LabkitError(f"{self.root} is of another version: to {call.name} it answered {error}") from None


def _refused(text: str) -> Callable[..., Any]:
    def refuse(principal: Principal, *given: Any, **named: Any) -> Any:
        raise NotBuilt(text)

    return refuse


def _part(value: object) -> str:
    """A part of a path. What would lead elsewhere names nothing."""
    text = str(value)
    if text in ("", ".", "..") or "/" in text:
        raise NotFound(f"there is no {text!r}")
    return quote(text, safe="")


def _read(data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _why(error: Exception) -> str:
    """The last word of a chain of causes, without the addresses of objects."""
    reason = getattr(error, "reason", None)
    return type(reason or error).__name__


def remote_labs(url: str, token: str) -> Labs:
    """The `Labs` of the service at `url`. Raises SetupError."""
    return cast(Labs, RemoteLabs(url, token))


def service_of(labs: object) -> Api | None:
    """The service that answers for these `Labs`, with what it has beside them; None where they are here."""
    return cast(Api, labs) if isinstance(labs, RemoteLabs) else None
