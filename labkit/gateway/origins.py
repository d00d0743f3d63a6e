"""The origins of machines' own pages: one for each http pane, never labkit's or Jupyter's. Pure.

A machine's page may run any script. What keeps it from labkit's pages, from other panes and from their cookies is the
browser's wall between origins, so each pane's page gets a host name of its own: `<lab>-<digest>`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from labkit.errors import SetupError
from labkit.gateway.access import host_name, loopback_name
from labkit.gateway.routes import PanePath

_LABEL = re.compile(r"[a-z][a-z0-9]{2,30}-[0-9a-f]{10}")
_TEMPLATE = re.compile(r"https://\*(\.[a-z0-9-]+)+(:[0-9]{1,5})?")


def label_of(pane: PanePath) -> str:
    """The first word of the pane's host name. A lab's id has no hyphen, so two labs never share one."""
    return f"{pane.lab}-{hashlib.sha256(f'{pane.machine}/{pane.pane}'.encode()).hexdigest()[:10]}"


@dataclass(frozen=True)
class Origins:
    """Where machines' pages are: `template` is the setting (`https://*.panes.example.org`, or "" for none), `port` the
    loopback port, where there is one. Raises SetupError for a template of another form."""

    template: str = ""
    port: int | None = None

    def __post_init__(self) -> None:
        if self.template and not _TEMPLATE.fullmatch(self.template):
            raise SetupError(
                f"the setting panes_origin is {self.template!r}; it must be like 'https://*.panes.example.org': a "
                "domain of its own, with TLS, whose names all lead to this gateway"
            )

    def pattern(self, host: str | None) -> str:
        """All origins of machines' pages, for a browser that sees labkit as `host`; "" where there can be none.

        `*.localhost` leads to the computer of the browser: it will do only where that is this one.
        """
        if self.template:
            return self.template
        return f"http://*.localhost:{self.port}" if self.port is not None and loopback_name(host) else ""

    def of(self, pane: PanePath, host: str | None) -> str:
        """The origin of this pane's page; "" where there can be none."""
        return self.pattern(host).replace("*", label_of(pane))

    def named(self, host: str | None) -> str:
        """The first word of a host that is a machine's origin; "" for every other host."""
        name = host_name(host)
        if self.template:
            domain = (urlsplit(self.template).hostname or "").removeprefix("*")
            if name.endswith(domain):
                found = name.removesuffix(domain)
                return found if _LABEL.fullmatch(found) else "unknown"
        first = name.removesuffix(".localhost")
        return first if name.endswith(".localhost") and _LABEL.fullmatch(first) else ""
