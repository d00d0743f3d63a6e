"""A machine's user data: `#cloud-config` whose body is JSON, so that cloud-init and tiny's `jq` read the same. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit.templates import Machine


@dataclass(frozen=True)
class MachineAccess:
    """The ways into one machine. `passwords` is by user name (a user without one cannot sign in by password).

    `check_key` is the public half of labkit's own key, as a line for authorized_keys: it goes to root alone.

    `host_key` is the machine's SSH host key (OpenSSH, private), given to it so that labkit can tell the machine from
    an impostor at the first connection.
    """

    passwords: Mapping[str, str]
    check_key: str
    host_key: str
    terminal_secret: str


def user_data(machine: Machine, access: MachineAccess) -> str:
    """The user data of `machine`. It holds secrets: it belongs in a Secret, whatever its size."""
    document: dict[str, Any] = {
        "hostname": machine.name,
        "users": [_user(user.name, access.passwords.get(user.name)) for user in machine.users]
        + [{"name": "root", "lock_passwd": True, "ssh_authorized_keys": [access.check_key]}],
        "write_files": [_file(path, content) for path, content in _files(machine, access).items()],
    }
    return "#cloud-config\n" + json.dumps(document, indent=1) + "\n"


def _user(name: str, password: str | None) -> dict[str, Any]:
    if password is None:
        return {"name": name, "lock_passwd": True, "shell": "/bin/sh"}
    return {"name": name, "plain_text_passwd": password, "lock_passwd": False, "shell": "/bin/sh"}


def _files(machine: Machine, access: MachineAccess) -> dict[str, str]:
    files = {
        "/etc/labkit/ttyd.secret": access.terminal_secret,
        "/etc/ssh/ssh_host_ed25519_key": access.host_key,
    }
    if machine.users:
        files["/etc/labkit/terminal-user"] = machine.users[0].name
    return files


def _file(path: str, content: str) -> dict[str, str]:
    return {"path": path, "content": content, "permissions": "0600", "owner": "root:root"}
