"""A machine that is a container, as a Pod. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from labkit.manifests import names
from labkit.manifests.files import key, placed
from labkit.manifests.overrides import merged
from labkit.manifests.panes import panes_text
from labkit.manifests.ready import probe
from labkit.manifests.scope import Object, Scope
from labkit.manifests.site import Site
from labkit.templates import Machine, Mount, fill

_GRACE_SECONDS = 5
_MULTUS = "k8s.v1.cni.cncf.io/networks"
_FILES = "files"


def pod(scope: Scope, machine: Machine, site: Site, variables: Mapping[str, str]) -> Object:
    """The Pod, which has the machine's name. Its container is started anew whenever it ends."""
    spec: Object = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [_container(machine, site, variables)],
    }
    if found := _volumes(machine):
        spec["volumes"] = found
    made = scope.object("v1", "Pod", machine.name, spec=merged(spec, machine.overrides))
    made["metadata"]["labels"] = scope.labels(machine.name)
    made["metadata"]["annotations"] = {names.PANES: panes_text(machine.panes), **_networks(machine)}
    return made


def _container(machine: Machine, site: Site, variables: Mapping[str, str]) -> Object:
    """What it asks for of processors is a tenth of what it may use, as KubeVirt has it for VMs."""
    memory, cpu = f"{(machine.memory_bytes or 0) >> 20}Mi", round((machine.cpu or 1) * 1000)
    # Kubernetes replaces $(NAME) in these, which is the author's to use, not a value's.
    known = {name: value.replace("$", "$$") for name, value in variables.items()}
    given = {
        "command": fill(machine.command, known),
        "args": fill(machine.args, known),
        "env": [{"name": name, "value": fill(text, known)} for name, text in machine.env.items()],
        "ports": [{"containerPort": port} for port in machine.ports],
        "volumeMounts": _mounts(machine),
    }
    return {
        "name": names.CONTAINER,
        "image": site.image(machine.image),
        **{part: value for part, value in given.items() if value},
        "resources": {
            "requests": {"cpu": f"{max(1, cpu // 10)}m", "memory": memory},
            "limits": {"cpu": f"{cpu}m", "memory": memory},
        },
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        **probe(machine),
    }


def _mounts(machine: Machine) -> list[Object]:
    """The author's folders, then each file by itself: a volume over a file's folder would hide what the image has."""
    folders = [
        {"name": f"volume-{n}", "mountPath": mount.path, **({"readOnly": True} if mount.read_only else {})}
        for n, mount in enumerate(machine.volumes)
    ]
    files = [
        {"name": _FILES, "mountPath": file.path, "subPath": key(n), "readOnly": True}
        for n, file in enumerate(placed(machine))
    ]
    return folders + files


def _volumes(machine: Machine) -> list[Object]:
    found = [{"name": f"volume-{n}", **_source(mount)} for n, mount in enumerate(machine.volumes)]
    files = placed(machine)
    if files:
        items = [{"key": key(n), "path": key(n), "mode": int(file.mode, 8)} for n, file in enumerate(files)]
        found.append({"name": _FILES, "secret": {"secretName": names.files_secret(machine.name), "items": items}})
    return found


def _source(mount: Mount) -> Object:
    match mount.source:
        case "empty":
            return {"emptyDir": {"sizeLimit": str(mount.size_bytes)}}
        case "volume":
            return {"persistentVolumeClaim": {"claimName": mount.reference}}
        case "configMap":
            return {"configMap": {"name": names.file_set(mount.reference)}}
        case _:
            return {"secret": {"secretName": names.file_set(mount.reference)}}


def _networks(machine: Machine) -> dict[str, str]:
    """Further interfaces, as Multus reads them from an annotation."""
    found = []
    for attachment in machine.networks:
        space, _, name = attachment.network.partition("/")
        found.append({"namespace": space, "name": name} | ({"mac": attachment.mac} if attachment.mac else {}))
    return {_MULTUS: json.dumps(found)} if found else {}
