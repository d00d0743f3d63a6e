"""The tables of a machine: which keys a vm and a container may hold, what each means, and how it is read.

The functions named `*_from` build a value once all its keys are good, and say what does not fit together.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml.nodes import ScalarNode, SequenceNode

from labkit.documents import Row, Wrong, by_key, by_kind, free, listing, mapping, named, peek, scalar, table
from labkit.model import Pane, PaneType
from labkit.templates import scalars
from labkit.templates.catalogue import BundledImage, bundled_image
from labkit.templates.disk_keys import DISK, IMAGE, MOUNT, disk_from, image_from, mount_from, needs_size
from labkit.templates.part_keys import (
    ATTACHMENT,
    FILE,
    READY,
    SERVICE,
    USER,
    file_from,
    labelled,
    pane,
    pane_name,
    port,
    ready_from,
    user_from,
)
from labkit.templates.schema import Attachment, Image, Machine, Service

PANES_OF_ONE_TYPE = {PaneType.CONSOLE: "vm", PaneType.VNC: "vm", PaneType.EXEC: "container"}


names = by_kind(
    {
        ScalarNode: scalar(lambda text: (scalars.machine_label(text),)),
        SequenceNode: listing(scalar(scalars.machine_label), name=lambda node: str(node.value), most=16),
    }
)
word = scalar(scalars.content)

COMMON = (
    Row(
        "name",
        scalar(scalars.machine_label),
        "a-z, 0-9 and `-`, beginning with a letter: the host name, and the name in the lab's network",
        required=True,
        example="name: box",
    ),
    Row("type", scalar(scalars.one_of("vm", "container")), "`vm` or `container`", required=True, example="type: vm"),
    Row(
        "image",
        mapping(IMAGE, image_from),
        "where its disk or its files come from: [images](#images)",
        required=True,
        example="image: {bundled: tiny}",
    ),
    Row("panes", listing(pane, name=pane_name), "ways into it in the browser: [panes](#panes)", default=()),
    Row(
        "files",
        listing(mapping(FILE, file_from), name=lambda node: peek(node, "path")),
        "files to place in it at its first start: [files](#files)",
        default=(),
    ),
    Row(
        "services",
        listing(mapping(SERVICE, Service, label=labelled("service")), name=named),
        "further names in the lab's network: [services](#services)",
        default=(),
    ),
    Row(
        "networks",
        listing(mapping(ATTACHMENT, Attachment, label=labelled("network")), name=named, most=8),
        "further network interfaces, on a cluster with Multus: [networks](#networks)",
        default=(),
    ),
    Row("ready", mapping(READY, ready_from), "when it counts as ready: [ready](#ready)"),
    Row("after", names, "machines (one, or a list) that must be ready before it is started", default=()),
    Row(
        "overrides",
        free,
        "fields of its VirtualMachineInstance or Pod spec, merged last: [overrides](overrides.md)",
        default={},
    ),
)
VM = (
    *COMMON,
    Row("cpu", scalar(scalars.whole(1, 64)), "whole number of cores from 1 to 64; without it, 1"),
    Row("memory", scalar(scalars.memory), "a Kubernetes quantity: `256Mi`, `1.5Gi`; needed without `instancetype`"),
    Row("instancetype", scalar(scalars.line(63)), "a VirtualMachineClusterInstancetype, instead of `cpu` and `memory`"),
    Row("preference", scalar(scalars.line(63)), "a VirtualMachineClusterPreference"),
    Row(
        "os",
        scalar(scalars.one_of("linux", "windows")),
        "`windows` gives the machine what Windows needs; without it, `linux`",
        default="linux",
    ),
    Row(
        "disks",
        listing(mapping(DISK, disk_from, label=labelled("disk")), name=named, most=16),
        "further disks: [disks](#disks)",
        default=(),
    ),
    Row(
        "users",
        listing(mapping(USER, user_from, label=labelled("user")), name=named),
        "accounts in it; the first is signed in by itself in a terminal: [users](#users)",
        default=(),
    ),
    Row("userData", free, "cloud-config, merged with labkit's own: [user data](#user-data)", default={}),
)
CONTAINER = (
    *COMMON,
    Row("cpu", scalar(scalars.cores), "the most cores it gets: `1`, `0.5`, `250m`; without it, 1", default=1.0),
    Row(
        "memory",
        scalar(scalars.memory),
        "the most memory it gets, a Kubernetes quantity",
        required=True,
        example="memory: 64Mi",
    ),
    Row("command", listing(word), "instead of the image's entry point: a list of words", default=()),
    Row("args", listing(word), "instead of the image's arguments: a list of words", default=()),
    Row(
        "env",
        table(scalars.environment_name, word, label=lambda name: f"variable '{name}'"),
        "environment variables; `{{ name }}` stands for a declared variable",
        default={},
    ),
    Row("ports", listing(port, name=lambda node: str(node.value)), "TCP ports that it serves, for readers", default=()),
    Row(
        "volumes",
        listing(mapping(MOUNT, mount_from), name=lambda node: peek(node, "path"), most=16),
        "folders from elsewhere: [volumes of a container](#volumes-of-a-container)",
        default=(),
    ),
)


def machine_from(**given: Any) -> Machine:
    """A machine of either type, as given by the keys of its table."""
    image: Image = given["image"]
    offered = bundled_image(image.reference) if image.source == "bundled" else None
    _judge_image(given["type"], image, offered, given["memory"])
    panes = tuple(_with_port(given, pane, offered) for pane in given.pop("panes"))
    agent = given["ready"] is not None and given["ready"].kind == "agent"
    if agent and given["type"] != "vm":
        raise Wrong("a container has no guest agent; use tcp or http", key="ready")
    renamed = {"user_data": given.pop("userData", {}), "memory_bytes": given.pop("memory")}
    return Machine(**given, **renamed, panes=panes)


def vm_from(**given: Any) -> Machine:
    if (given["memory"] is None) == (given["instancetype"] is None):
        raise Wrong("needs either 'memory: 512Mi' or an instancetype", key="memory")
    if given["instancetype"] is not None and given["cpu"] is not None:
        raise Wrong("is said by the instancetype; leave it out", key="cpu")
    if given["instancetype"] is None and given["cpu"] is None:
        given["cpu"] = 1
    if not given["users"] and any(pane.type is PaneType.TERMINAL for pane in given["panes"]):
        raise Wrong("a terminal needs a user to sign in as; add 'users: [{name: student}]'", key="panes")
    return machine_from(**given)


def _judge_image(type: str, image: Image, offered: BundledImage | None, memory: int | None) -> None:
    if type == "container" and image.imported:
        raise Wrong("a container's image is {bundled: …} or {registry: …}, without a size", key="image")
    needs_size(image)
    if offered is None:
        return
    if offered.type != type:
        raise Wrong(f"'{offered.name}' is an image for a {offered.type}, not for a {type}", key="image")
    if memory is not None and memory < offered.minimum_memory:
        raise Wrong(f"the image '{offered.name}' needs at least {offered.minimum_memory >> 20}Mi", key="memory")


def _with_port(given: Any, pane: Pane, offered: BundledImage | None) -> Pane:
    only = PANES_OF_ONE_TYPE.get(pane.type)
    if only not in (None, given["type"]):
        raise Wrong(f"a {pane.type} pane is for a {only}, not for a {given['type']}", key="panes")
    if pane.type is not PaneType.TERMINAL or pane.port is not None:
        return pane
    if offered is None:
        raise Wrong("say where the terminal's server listens: {type: terminal, port: 7681}", key="panes")
    if "terminal" not in offered.ports:
        raise Wrong(f"the image '{offered.name}' offers no terminal; use a console", key="panes")
    return Pane(pane.name, pane.type, pane.title, offered.ports["terminal"])


def _elsewhere(own: tuple[Row, ...], other: tuple[Row, ...], type: str) -> dict[str, str]:
    return {row.key: f"is for a {type} only" for row in other if row.key not in {known.key for known in own}}


machine = by_key(
    "type",
    {
        "vm": mapping(VM, vm_from, label=labelled("machine"), elsewhere=_elsewhere(VM, CONTAINER, "container")),
        "container": mapping(
            CONTAINER, machine_from, label=labelled("machine"), elsewhere=_elsewhere(CONTAINER, VM, "vm")
        ),
    },
    fallback="vm",
)
