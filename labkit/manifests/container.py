"""A machine that is a container, as a Pod. Pure."""

from __future__ import annotations

from labkit.manifests import names
from labkit.manifests.images import reference
from labkit.manifests.panes import panes_text
from labkit.manifests.scope import Object, Scope
from labkit.manifests.userdata import MachineAccess
from labkit.model import PaneType
from labkit.templates import Machine

_GRACE_SECONDS = 5
_FOLDER = "/etc/labkit/"
_SECRET, _USER = "ttyd.secret", "terminal-user"


def pod(scope: Scope, machine: Machine, registry: str) -> Object:
    """The Pod, which has the machine's name. Its container is started anew whenever it ends.

    What it asks for of processors is a tenth of what it may use, as KubeVirt has it for VMs.
    """
    size = f"{machine.memory_bytes // 2**20}Mi"
    container: Object = {
        "name": names.CONTAINER,
        "image": reference(machine.image, registry),
        "resources": {
            "requests": {"cpu": f"{machine.cpu * 100}m", "memory": size},
            "limits": {"cpu": str(machine.cpu), "memory": size},
        },
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    }
    spec: Object = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [container],
    }
    if files := terminal_files(machine):
        # Each by itself: a volume over the whole folder would hide what the image has there.
        container["volumeMounts"] = [
            {"name": "files", "mountPath": _FOLDER + file, "subPath": file, "readOnly": True} for file in files
        ]
        spec["volumes"] = [{"name": "files", "secret": {"secretName": names.files_secret(machine.name)}}]
    found = scope.object("v1", "Pod", machine.name, spec=spec)
    found["metadata"]["labels"] = scope.labels(machine.name)
    found["metadata"]["annotations"] = {names.PANES: panes_text(machine.panes)}
    return found


def terminal_files(machine: Machine) -> tuple[str, ...]:
    """The files that make an image of labkit's offer its terminal, to the gateway alone."""
    wanted = any(pane.type is PaneType.TERMINAL for pane in machine.panes)
    return ((_SECRET, _USER) if machine.users else (_SECRET,)) if wanted else ()


def files(scope: Scope, machine: Machine, access: MachineAccess) -> Object:
    """The Secret with the files that the Pod mounts."""
    known = {_SECRET: access.terminal_secret, _USER: machine.users[0].name if machine.users else ""}
    data = {file: known[file] + "\n" for file in terminal_files(machine)}
    return scope.object("v1", "Secret", names.files_secret(machine.name), stringData=data)
