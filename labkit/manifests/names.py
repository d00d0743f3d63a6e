"""Names, labels and derived secrets, on which controller, gateway and guests must agree. Pure."""

from __future__ import annotations

import hashlib
import hmac

INSTALLATION = "labkit/installation"
LAB = "labkit/lab"
MACHINE = "labkit/machine"
PANES = "labkit/panes"
"""Annotation of a machine: its panes as a JSON list of {name, type, title, port?}."""
LOGIN = "labkit/login"
"""Annotation of a machine: the learner's account in it and its public host key, see `login.py`."""
SNAPSHOT = "labkit/snapshot"
MEMORY = "labkit/memory"
"""Label of a snapshot's objects: its name."""
TICKET_EPOCH = "labkit/ticket-epoch"
"""Annotation of a lab's namespace: tickets of a smaller epoch are refused."""

ACCESS_SECRET = "labkit-access"  # noqa: S105 - a name
"""The Secret that holds what was drawn for this lab: passwords, the check key, host keys."""
OBJECTS = "labkit"
"""The name of what a lab has one of: policy, quota, limit range."""
CONTAINER = "main"
"""The one container of a machine that is a container; the machine's Pod has the machine's name."""
ROOT, SEED = "root", "seed"
"""A VM's own disk, and the one with its user data."""
TERMINAL_PORT = 7681
SSH_PORT = 22

_PREFIX = "labkit-"


def namespace_of(lab: str) -> str:
    """The namespace of a lab. It says nothing of who the learner is."""
    return _PREFIX + lab


def lab_of(namespace: str) -> str:
    """The lab of a namespace."""
    return namespace.removeprefix(_PREFIX)


def lease(installation: str) -> str:
    """The Lease of the installation's controller."""
    return f"{_PREFIX}{installation}"


def userdata_secret(machine: str) -> str:
    """The Secret that holds a machine's user data under the key `userdata`."""
    return f"labkit-userdata-{machine}"


def files_secret(machine: str) -> str:
    """The Secret that holds the files of a machine that is a container, under their names."""
    return f"labkit-files-{machine}"


def own_volume(machine: str, disk: str) -> str:
    """The volume that is made for one disk of a VM. Names of the lab's own volumes hold no dot."""
    return f"{machine}.{disk}"


def file_set(name: str) -> str:
    """The ConfigMap or Secret with the author's files called `name`, which may not be one of labkit's own."""
    return f"files-{name}"


def labels(installation: str, lab: str, machine: str | None = None) -> dict[str, str]:
    """The labels that every object of a lab carries (with `machine`, those of a machine)."""
    found = {INSTALLATION: installation, LAB: lab}
    return found if machine is None else {**found, MACHINE: machine}


def terminal_secret(key: bytes, lab: str, machine: str) -> str:
    """The path below which a machine's ttyd answers, 32 hex digits: derived, so that the gateway needs no Secret."""
    return hmac.new(key, f"{lab}/{machine}".encode(), hashlib.sha256).hexdigest()[:32]
