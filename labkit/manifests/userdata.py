"""A machine's user data: `#cloud-config` whose body is JSON, so that cloud-init and tiny's `jq` read the same. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit.templates import File, Machine, User, fill


@dataclass(frozen=True)
class MachineAccess:
    """The ways into one machine. `passwords` is by user name (a user without one cannot sign in by password).

    `check_key` is the public half of labkit's own key, as a line for authorized_keys: it goes to root alone.

    `host_key` is the machine's SSH host key (OpenSSH, private), given to it so that labkit can tell the machine from
    an impostor at the first connection; `host_public` is its public half. `learner_key`, a line for authorized_keys,
    goes to the first user.
    """

    passwords: Mapping[str, str]
    check_key: str
    host_key: str
    terminal_secret: str
    learner_key: str
    host_public: str


def user_data(machine: Machine, access: MachineAccess, variables: Mapping[str, str]) -> str:
    """The user data of `machine`: labkit's own with the author's. It holds secrets, so it belongs in a Secret."""
    own: dict[str, Any] = {
        "hostname": machine.name,
        "users": [_user(user, access.passwords.get(user.name), _keys(machine, user, access)) for user in machine.users]
        + [{"name": "root", "lock_passwd": True, "ssh_authorized_keys": [access.check_key]}],
        "write_files": [_own_file(path, content) for path, content in _own_files(machine, access).items()]
        + [_file(machine, file, variables) for file in machine.files],
    }
    return "#cloud-config\n" + json.dumps(_joined(own, fill(machine.user_data, variables)), indent=1) + "\n"


def _joined(own: Any, given: Any) -> Any:
    """The author's cloud-config laid over labkit's: maps key by key, users by name, all other lists one after the
    other; elsewhere the author has the last word."""
    if isinstance(own, Mapping) and isinstance(given, Mapping):
        return {**own, **{key: _joined(own[key], value) if key in own else value for key, value in given.items()}}
    if not isinstance(own, list) or not isinstance(given, list):
        return given
    named = {item["name"]: item for item in given if isinstance(item, Mapping) and "name" in item}
    known = {item.get("name") for item in own if isinstance(item, Mapping)}
    merged = [_joined(item, named.get(item.get("name"), {})) if isinstance(item, Mapping) else item for item in own]
    return merged + [item for item in given if not (isinstance(item, Mapping) and item.get("name", "") in known)]


def _keys(machine: Machine, user: User, access: MachineAccess) -> list[str]:
    """The keys of a user: the author's, and labkit's own of the account that is the learner's."""
    return [*user.keys, *([access.learner_key] if user is machine.users[0] else [])]


def _user(user: User, password: str | None, keys: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": user.name, "lock_passwd": password is None, "shell": user.shell or "/bin/sh"}
    if password is not None:
        found["plain_text_passwd"] = password
    if keys:
        found["ssh_authorized_keys"] = keys
    if user.sudo:
        found["sudo"] = "ALL=(ALL) NOPASSWD:ALL"
    return found


def _own_files(machine: Machine, access: MachineAccess) -> dict[str, str]:
    files = {
        "/etc/labkit/ttyd.secret": access.terminal_secret,
        "/etc/ssh/ssh_host_ed25519_key": access.host_key,
    }
    if machine.users:
        files["/etc/labkit/terminal-user"] = machine.users[0].name
    return files


def _own_file(path: str, content: str) -> dict[str, str]:
    return {"path": path, "content": content, "permissions": "0600", "owner": "root:root"}


def _file(machine: Machine, file: File, variables: Mapping[str, str]) -> dict[str, Any]:
    """A file of the author's, in base64: it may hold anything."""
    text = base64.b64encode(content(file, variables)).decode()
    found = {"path": file.path, "content": text, "encoding": "b64", "permissions": file.mode, "owner": file.owner}
    # cloud-init writes files before it makes users, unless told otherwise; tiny does not, and knows no such key.
    late = file.owner != "root:root" and machine.image.reference != "tiny"
    return found | ({"defer": True} if late else {})


def content(file: File, variables: Mapping[str, str]) -> bytes:
    """What is in a file, its variables filled in."""
    text: str | None = fill(file.text, variables)
    return file.data if text is None else text.encode()
