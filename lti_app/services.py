"""What the views work on, made once for an application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from flask import current_app

from labkit.app import Labs
from labkit.errors import SetupError
from labkit.model import Principal
from labkit.settings import Settings
from labkit.store import Launch, Platform, Store
from lti_app.lti.desk import Desk
from lti_app.lti.embedding import Embedding
from lti_app.lti.keys import ToolKeys
from lti_app.lti.platform_keys import KeyFinder


@dataclass(frozen=True)
class Services:
    """The parts that views use. `origin` is our own, as browsers see it: from the settings, never from a request's
    headers, so that no proxy and no stranger can change it."""

    settings: Settings
    store: Store
    labs: Labs
    grades: Desk
    tool_keys: ToolKeys
    key_finder: KeyFinder
    embedding: Embedding
    origin: str

    def address(self, path: str) -> str:
        """The whole address of a path of ours."""
        return self.origin + path

    def principal(self, launch: Launch) -> Principal:
        """A launch's person, as the owner of his own labs and nothing else."""
        return Principal(self.platform(launch.platform).realm, launch.subject)

    def platform(self, platform: str) -> Platform:
        """A registered platform by our id; a launch's is there as long as the launch is."""
        found = self.store.platform(platform)
        if found is None:
            raise LookupError(f"platform {platform} was removed")
        return found


def services() -> Services:
    """The present application's."""
    return cast(Services, current_app.extensions["labkit"])


def own_origin(settings: Settings) -> str:
    """The scheme, host and port of `public_url`. Raises SetupError where it cannot be used."""
    parts = urlsplit(settings.public_url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise SetupError(
            "the web application needs its own address, as browsers see it: set LABKIT_PUBLIC_URL, "
            "for example https://labs.example.org"
        )
    return f"{parts.scheme}://{parts.netloc}"
