"""What a JupyterHub needs to have labkit as its service: load_subconfig() it in your own jupyterhub_config.py.

LABKIT_PORT is a free port of this computer, LABKIT_HUB_URL where browsers find the Hub, LABKIT_HUB_API where its API is
on this computer (the setting hub_bind_url, and /hub/api below the Hub's prefix).
"""

import os
import shutil

c = get_config()  # type: ignore[name-defined]  # noqa: F821

PORT = os.environ.get("LABKIT_PORT", "8880")
HUB = os.environ.get("LABKIT_HUB_URL", "https://hub.example.org/").rstrip("/")
API = os.environ.get("LABKIT_HUB_API", "http://127.0.0.1:8081/hub/api")
LABKIT = f"{HUB}/services/labkit"

# Each is added to what you have: write yours above or below, by append, extend and update as here, or it is replaced.
c.JupyterHub.services.append(
    {
        "name": "labkit",
        "url": f"http://127.0.0.1:{PORT}",
        "command": [shutil.which("labkit"), "serve"],
        "environment": {
            **{name: value for name, value in os.environ.items() if name.startswith("LABKIT_")},
            "HOME": os.environ["HOME"],
            "LABKIT_GATEWAY_PORT": PORT,
            "LABKIT_PUBLIC_URL": LABKIT,
            "LABKIT_HUB_API_URL": API,
        },
    }
)
# A user's server may ask labkit in its user's name, with the token that the Hub gives it. The first two are the Hub's
# own; a token without the third is refused, so that one given to something else opens nobody's labs.
c.JupyterHub.load_roles.extend(
    [
        {
            "name": "server",
            "scopes": ["users:activity!user", "access:servers!server", "access:services!service=labkit"],
        },
        {"name": "user", "scopes": ["self", "access:services!service=labkit"]},
    ]
)
c.Spawner.environment.update({"LABKIT_URL": f"{LABKIT}/"})
