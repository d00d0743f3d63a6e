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

    def tell_of(self, platform: Platform) -> None:
        """See to it that the platform is in the list."""
        if not embedders(platform) <= self._told():
            self.tell()

    def tell(self) -> None:
        """Have all platforms that are active in the list, and no other."""
        with _lock:
            active = [one for one in self._store.platforms() if one.state is PlatformState.ACTIVE]
            write_secret(self._path, json.dumps(sorted(frozenset().union(*map(embedders, active)))).encode())

    def _told(self) -> frozenset[str]:
        """What the list says: other processes write it, too."""
        try:
            return frozenset(json.loads(self._path.read_text()))
        except (OSError, ValueError):
            return frozenset()
