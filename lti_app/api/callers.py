"""Who asks: a personal access token, or a JupyterHub's. Never what a body says, and never a cookie: a page of another
site cannot ask for its reader."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from flask import Request

from labkit.errors import Forbidden, SetupError, Unauthenticated
from labkit.model import Principal
from labkit.store import Store

_CACHE_SECONDS = 30.0
_CACHE_MOST = 4096
_HUB_TIMEOUT = urllib3.Timeout(connect=3, read=10)
_HUB_ANSWER = 1 << 20


@dataclass(frozen=True)
class Caller:
    """Who asks; `reads_only`: he may change nothing, and be handed no secret."""

    principal: Principal
    reads_only: bool = False


Authenticate = Callable[[Request], Caller | None]
"""Whoever asks, where this way of telling applies; None where another one may. Raises Unauthenticated, Forbidden."""


class HubTokens:
    """JupyterHub's tokens, each shown to the Hub that made it; what the Hub says is believed for 30 s.

    A Hub's user is a learner here. His token must be good for this service (`access:services!service=NAME`): a token
    that he gave to something else does not open his labs.
    """

    def __init__(self, api: str, service: str) -> None:
        self._url = f"{api.rstrip('/')}/user"
        self._scopes = {"access:services", f"access:services!service={service}"}
        self._service = service
        self._pool = urllib3.PoolManager(timeout=_HUB_TIMEOUT, retries=urllib3.Retry(1, redirect=False))
        self._known: OrderedDict[str, tuple[float, Mapping[str, Any] | None]] = OrderedDict()
        self._lock = threading.Lock()

    def holder(self, token: str) -> Principal | None:
        """The Hub's user. Raises Forbidden for a token that is not meant for this, SetupError for a silent Hub."""
        model = self._model(token)
        if model is None or model.get("kind") != "user" or not model.get("name"):
            return None
        if not self._scopes & set(model.get("scopes") or ()):
            need = f"access:services!service={self._service}"
            raise Forbidden(f"this JupyterHub token is not for labkit: the Hub's operator must grant it {need}")
        return Principal("hub", str(model["name"]), name=str(model["name"]))

    def _model(self, token: str) -> Mapping[str, Any] | None:
        key, now = hashlib.sha256(token.encode()).hexdigest(), time.monotonic()
        with self._lock:
            until, model = self._known.get(key, (0.0, None))
        if until > now:
            return model
        model = self._ask(token)
        with self._lock:
            self._known[key] = (now + _CACHE_SECONDS, model)
            self._known.move_to_end(key)
            while len(self._known) > _CACHE_MOST:
                self._known.popitem(last=False)
        return model

    def _ask(self, token: str) -> Mapping[str, Any] | None:
        try:
            answer = self._pool.request(
                "GET", self._url, headers={"Authorization": f"token {token}"}, preload_content=False
            )
            body = answer.read(_HUB_ANSWER)
            answer.release_conn()
            if answer.status in (401, 403, 404):
                return None
            found = json.loads(body) if answer.status == 200 else None
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise SetupError(f"JupyterHub cannot be asked whose token this is: {type(error).__name__}") from None
        if not isinstance(found, dict):
            raise SetupError(f"JupyterHub cannot be asked whose token this is: it answers {answer.status}")
        return found


class Bearer:
    """`Authorization: Bearer …` (`token …` as JupyterHub's programs say it): ours, or the Hub's where there is one."""

    def __init__(self, store: Store, hub: HubTokens | None = None) -> None:
        self._store, self._hub = store, hub

    def __call__(self, request: Request) -> Caller | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        token = token.strip()
        if scheme.lower() not in ("bearer", "token") or not token.isascii() or not token.isprintable():
            raise Unauthenticated("say who asks with `Authorization: Bearer TOKEN`")
        if found := self._store.token_holder(token):
            principal, scope = found
            return Caller(principal, reads_only=scope == "read")
        holder = self._hub.holder(token) if self._hub and token else None
        if holder is None:
            raise Unauthenticated("the token counts for nothing here: it is unknown, expired or revoked")
        return Caller(holder)
