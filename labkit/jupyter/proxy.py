"""The gateway as a jupyter-server-proxy server: under Jupyter's login, below `…/labkit/`, right under any base_url.

The gateway runs already (the supervisor keeps it) and listens on a unix socket of this user's. What is a right to
Jupyter is blanked on the way, so that the gateway never holds one.
"""

from __future__ import annotations

from typing import Any

from labkit.folders import make_private
from labkit.settings import load

RIGHTS = ("Cookie", "Authorization", "Referer")
"""Headers that can hold a right to Jupyter: the last, as the address of a page that shows a pane may have `?token=`."""


def gateway() -> dict[str, Any]:
    """The entry of the group `jupyter_serverproxy_servers`. SetupError where the socket's folder is another user's."""
    settings = load()
    make_private(settings.state_dir)
    make_private(settings.runtime_dir)  # nobody else may put a socket there: what answers on it is on Jupyter's origin
    return {
        "unix_socket": str(settings.gateway_socket),
        "absolute_url": False,
        "request_headers_override": dict.fromkeys(RIGHTS, ""),
        "launcher_entry": {"enabled": False},
        "update_last_activity": False,  # else what a machine shows by itself would count
    }
