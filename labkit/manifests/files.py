"""Files that go into machines: a container's, each mounted by itself, and sets of files for disks and folders. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from labkit.manifests import names
from labkit.manifests.scope import Object, Scope
from labkit.manifests.userdata import MachineAccess, content
from labkit.model import PaneType
from labkit.templates import File, FileSet, Machine

_TERMINAL_SECRET = "/etc/labkit/ttyd.secret"  # noqa: S105 - a path


def placed(machine: Machine) -> list[File]:
    """The files of a container: the author's, and what makes an image of labkit's offer its terminal.

    The content of the latter is in `files_secret`: it differs from lab to lab.
    """
    terminal = any(pane.type is PaneType.TERMINAL for pane in machine.panes)
    return [*machine.files, *([File(_TERMINAL_SECRET, "", mode="0600")] if terminal else [])]


def files_secret(scope: Scope, machine: Machine, access: MachineAccess, variables: Mapping[str, str]) -> Object:
    """The Secret with a container's files, by key(n)."""
    given = {_TERMINAL_SECRET: access.terminal_secret.encode() + b"\n"}
    data = {
        key(n): base64.b64encode(given.get(file.path) or content(file, variables)).decode()
        for n, file in enumerate(placed(machine))
    }
    return scope.object("v1", "Secret", names.files_secret(machine.name), data=data)


def key(number: int) -> str:
    """The name of a machine's file in its Secret: paths may hold what a key may not."""
    return f"file-{number}"


def file_set(scope: Scope, files: FileSet, variables: Mapping[str, str]) -> Object:
    """A ConfigMap or Secret of the author's. What is no UTF-8 text in a ConfigMap lies in `binaryData`."""
    found = {file.path: content(file, variables) for file in files.files}
    coded = {name: base64.b64encode(data).decode() for name, data in found.items()}
    if files.secret:
        return scope.object("v1", "Secret", names.file_set(files.name), data=coded)
    texts = {name: data.decode() for name, data in found.items() if _is_text(data)}
    others = {name: text for name, text in coded.items() if name not in texts}
    binary = {"binaryData": others} if others else {}
    return scope.object("v1", "ConfigMap", names.file_set(files.name), data=texts, **binary)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
