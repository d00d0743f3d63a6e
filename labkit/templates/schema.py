"""What a template is, once read: plain values. Nothing here reads or writes.

Sizes are bytes, times are seconds. Text in which `{{ name }}` stands for a variable is marked so; it is as the author
wrote it until `variables.fill` is asked to fill it in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.errors import NotFound
from labkit.model import Pane
from labkit.wording import did_you_mean


@dataclass(frozen=True)
class Image:
    """Where the content of a disk or a container comes from. `reference` is meant by `source`:

    bundled: a name of the catalogue; registry: an OCI reference (for a vm, of a containerDisk); url: of a disk image,
    with `sha256` where the author gave it; clone: NAMESPACE/NAME of a PersistentVolumeClaim to copy.

    With `size_bytes`, a disk made of it is a volume of its own that outlives a switch-off; url and clone always are.
    """

    source: str
    reference: str
    sha256: str | None = None
    size_bytes: int | None = None

    @property
    def imported(self) -> bool:
        """Whether a volume has to be made and filled before the machine can start."""
        return self.size_bytes is not None or self.source in ("url", "clone")


@dataclass(frozen=True)
class Volume:
    """A PersistentVolumeClaim of the lab's own, filled from `image` where there is one. It outlives switch-offs."""

    name: str
    size_bytes: int | None
    image: Image | None = None
    storage_class: str | None = None
    access: str = "ReadWriteOnce"


@dataclass(frozen=True)
class Disk:
    """A further disk of a vm. `source` says what is on it:

    empty: nothing, `size_bytes` large, lost at switch-off; image: `image`; volume: the lab's volume `reference`;
    ephemeral: a throw-away layer over that volume; configMap, secret: the lab's files `reference`.

    `type` is disk, cdrom or lun; `bus` None: the usual one for type and system. `boot`: 1 is tried first.
    """

    name: str
    source: str
    reference: str = ""
    image: Image | None = None
    size_bytes: int | None = None
    type: str = "disk"
    bus: str | None = None
    read_only: bool = False
    boot: int | None = None


@dataclass(frozen=True)
class Mount:
    """A folder of a container. `source` is empty (`size_bytes`: at most), volume, configMap or secret."""

    path: str
    source: str
    reference: str = ""
    size_bytes: int | None = None
    read_only: bool = False


@dataclass(frozen=True)
class User:
    """A person's account in a vm. Without a password, and none generated, nobody can sign in with one.

    `keys` are lines for authorized_keys, to which `key_generate` adds the lab's own; `sudo`: may become root without a
    password.
    """

    name: str
    password_generate: bool = False
    password: str | None = None
    keys: tuple[str, ...] = ()
    key_generate: bool = False
    sudo: bool = False
    shell: str | None = None


@dataclass(frozen=True)
class File:
    """A file to place at `path`: `text`, in which variables are to be filled in, or `data`, the bytes of the template's
    file `source`, which are taken as they are."""

    path: str
    text: str | None = None
    source: str = ""
    data: bytes = b""
    mode: str = "0644"
    owner: str = "root:root"


@dataclass(frozen=True)
class Readiness:
    """When a machine counts as ready. `kind` is agent (the guest agent answers), tcp or http (a GET is answered with
    a status below 400)."""

    kind: str
    port: int | None = None
    path: str = "/"
    timeout_seconds: int | None = None


@dataclass(frozen=True)
class Service:
    """A further name of a machine in the lab's network, with one port."""

    name: str
    port: int
    protocol: str = "TCP"


@dataclass(frozen=True)
class Attachment:
    """A further network interface, in the network that a NetworkAttachmentDefinition (NAMESPACE/NAME) describes."""

    name: str
    network: str
    mac: str | None = None


@dataclass(frozen=True)
class Machine:
    """One machine. `cpu` is in cores (a container's may be a fraction); `cpu` and `memory_bytes` are None where an
    `instancetype` says them. What belongs to one type only is empty for the other.

    `after`: machines that must be ready before this one is started. `overrides` is merged last over the vm's
    VirtualMachineInstance spec or the container's Pod spec.
    """

    name: str
    type: str
    image: Image
    cpu: float | None
    memory_bytes: int | None
    users: tuple[User, ...] = ()
    panes: tuple[Pane, ...] = ()
    files: tuple[File, ...] = ()
    services: tuple[Service, ...] = ()
    networks: tuple[Attachment, ...] = ()
    ready: Readiness | None = None
    after: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    # vm
    os: str = "linux"
    instancetype: str | None = None
    preference: str | None = None
    disks: tuple[Disk, ...] = ()
    user_data: Mapping[str, Any] = field(default_factory=dict)
    # container
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    volumes: tuple[Mount, ...] = ()


@dataclass(frozen=True)
class FileSet:
    """Files by name, for disks and folders: a ConfigMap, or a Secret. A `File`'s path is its name in the set."""

    name: str
    files: tuple[File, ...]
    secret: bool = False


@dataclass(frozen=True)
class Network:
    """What machines may reach outside their lab: `egress` is none, dns, internet, or cidrs (then these).

    `binding` is how a vm is bound to the pod network: bridge or masquerade.
    """

    egress: str = "none"
    cidrs: tuple[str, ...] = ()
    binding: str = "bridge"


@dataclass(frozen=True)
class Lifetime:
    """When a lab is ended without being asked: so many seconds after it was ready, or after nobody used it for as
    long. None: as the installation's settings say."""

    max_seconds: int | None = None
    idle_seconds: int | None = None


@dataclass(frozen=True)
class Variable:
    """A declared variable: a fixed value, or one drawn from `pattern` with the work's seed."""

    value: str | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class Conduct:
    """How a step's scripts are run: as which of the machine's users, and for how long at most."""

    user: str = "root"
    timeout_seconds: int = 30


BESIDE = ""
"""In place of a machine's name: a script that is run beside the lab."""


@dataclass(frozen=True)
class Script:
    """A script of a step, run in `machine` (or beside the lab). Of a check, exit 0 is passed and standard output is the
    feedback."""

    step: str
    machine: str
    text: str
    conduct: Conduct = Conduct()


@dataclass(frozen=True)
class Template:
    """A template as an author wrote it. `digest` names its content: 64 hex digits over all files of `folder`.

    `checks` are the scripts that decide a step, all of which must be passed. `setups` are to be run once when a lab has
    started, in order; `solutions` do a step; `cleanups` put away what it needed, each time it is passed.
    """

    name: str
    title: str
    description: str
    duration_minutes: int | None
    tags: tuple[str, ...]
    machines: tuple[Machine, ...]
    network: Network
    lifetime: Lifetime
    variables: Mapping[str, Variable]
    folder: Path
    digest: str
    checks: Mapping[str, tuple[Script, ...]] = field(default_factory=dict)
    setups: tuple[Script, ...] = ()
    solutions: tuple[Script, ...] = ()
    cleanups: tuple[Script, ...] = ()
    volumes: tuple[Volume, ...] = ()
    file_sets: tuple[FileSet, ...] = ()
    language: str = "en"

    def machine(self, name: str) -> Machine:
        """The machine called `name`. Raises NotFound."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        known = did_you_mean(name, (machine.name for machine in self.machines))
        raise NotFound(f"template '{self.name}' has no machine '{name}'{known}")
