"""Tells the gateway whose pages may hold panes in their frames: it never opens the store."""

from __future__ import annotations

import json
import threading
from functools import lru_cache

from labkit.orchestrator.keyring import write_secret
from labkit.settings import Settings
from labkit.store import Platform, PlatformState, Store
from lti_app.lti.outbound import origin_of

_lock = threading.Lock()


@lru_cache(maxsize=64)
def embedders(platform: Platform) -> frozenset[str]:
    """The origins of the pages that a platform shows its tools in."""
    return frozenset(filter(None, (origin_of(platform.issuer), origin_of(platform.auth_url))))


class Embedding:
    """The list of origins, in a file that the gateway reads."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._path, self._store = settings.embedders_file, store
        self._told: frozenset[str] = frozenset()

    def tell_of(self, platform: Platform) -> None:
        """See to it that the platform is in the list. Then all that are active are, and no other."""
        if embedders(platform) <= self._told:
            return
        with _lock:
            active = [one for one in self._store.platforms() if one.state is PlatformState.ACTIVE]
            self._told = frozenset().union(*map(embedders, active))
            write_secret(self._path, json.dumps(sorted(self._told)).encode())
