"""The tables: which keys `lab.yaml` may hold, and how each is read. A new key is a new row.

`LAB` at the foot is the whole file. The functions named `*_from` build a value once all its keys are good, and say what
does not fit together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ruamel.yaml.nodes import Node, ScalarNode, SequenceNode

from labkit.documents import Row, Wrong, listing, mapping, not_built, peek, scalar, table
from labkit.errors import NotFound
from labkit.model import PANE_TYPES_PLANNED, Pane, PaneType
from labkit.templates import scalars
from labkit.templates.catalogue import BundledImage, bundled_image
from labkit.templates.schema import BUILT_IN_VARIABLES, Image, Lifetime, Machine, Network, User, Variable

PANE_TITLES = {PaneType.TERMINAL: "Terminal", PaneType.CONSOLE: "Console", PaneType.VNC: "Screen"}
IMAGE_SOURCES_PLANNED = ("registry", "url", "path")


def labelled(kind: str) -> Callable[[Node], str]:
    """How faults call a node that has a name: machine 'web'."""
    return lambda node: f"{kind} '{peek(node, 'name')}'" if peek(node, "name") else f"a {kind}"


def image_from(**given: Any) -> Image:
    """Exactly one source; only `bundled` is built."""
    if given["sha256"] is not None:
        raise Wrong("belongs to an image from 'url'; leave it out", key="sha256")
    if given["bundled"] is None:
        raise Wrong("names no source; write for example {bundled: tiny}")
    return Image("bundled", given["bundled"].name)


def known_image(text: str) -> BundledImage:
    try:
        return bundled_image(text)
    except NotFound as error:
        raise Wrong(str(error)) from None


IMAGE = (
    Row("bundled", scalar(known_image)),
    *(Row(source, not_built("an image from there")) for source in IMAGE_SOURCES_PLANNED),
    Row("sha256", scalar(scalars.line(64))),
)


def password_from(generate: bool, value: str | None) -> tuple[bool, str | None]:
    if generate == (value is not None):
        raise Wrong("give either {generate: true} or {value: …}")
    return generate, value


PASSWORD = (
    Row("generate", scalar(scalars.truth), default=False),
    Row("value", scalar(scalars.password)),
)


def user_from(name: str, password: tuple[bool, str | None]) -> User:
    return User(name, *password)


USER = (
    Row("name", scalar(scalars.user_name), required=True, example="name: student"),
    Row("password", mapping(PASSWORD, password_from), default=(False, None)),
)

pane_type = scalar(scalars.one_of(*PaneType, planned=PANE_TYPES_PLANNED))


def pane_from(name: str | None, type: str, title: str | None, port: int | None) -> Pane:
    kind = PaneType(type)
    if port is not None and kind is not PaneType.TERMINAL:
        raise Wrong(f"a {kind} pane has no port; leave it out", key="port")
    return Pane(name or kind, kind, title or PANE_TITLES[kind], port)


PANE = (
    Row("name", scalar(scalars.label)),
    Row("type", pane_type, required=True, example="type: terminal"),
    Row("title", scalar(scalars.line(60))),
    Row("port", scalar(scalars.whole(1, 65535))),
)


def pane_name(node: Node) -> str | None:
    """A pane is called by its name, else by its type."""
    return str(node.value) if isinstance(node, ScalarNode) else peek(node, "name") or peek(node, "type")


def pane(node: Node) -> Pane:
    """A pane by its type alone (`terminal`), or by its keys."""
    if isinstance(node, ScalarNode):
        return pane_from(None, pane_type(node), None, None)
    made: Pane = mapping(PANE, pane_from, label=lambda node: f"pane '{pane_name(node)}'")(node)
    return made


def machine_from(
    name: str,
    type: str,
    image: Image,
    cpu: int,
    memory: int,
    users: tuple[User, ...],
    panes: tuple[Pane, ...],
    **_: Any,
) -> Machine:
    offered = bundled_image(image.reference)
    if memory < offered.minimum_memory:
        least = offered.minimum_memory // (1 << 20)
        raise Wrong(f"the image '{offered.name}' needs at least {least}Mi", key="memory")
    if not users and any(pane.type is PaneType.TERMINAL for pane in panes):
        raise Wrong("a terminal needs a user to sign in as; add 'users: [{name: student}]'", key="panes")
    return Machine(name, type, image, cpu, memory, users, tuple(_with_port(pane, offered) for pane in panes))


def _with_port(pane: Pane, image: BundledImage) -> Pane:
    if pane.type is not PaneType.TERMINAL:
        return pane
    if "terminal" not in image.ports:
        raise Wrong(f"the image '{image.name}' offers no terminal; use a console", key="panes")
    return Pane(pane.name, pane.type, pane.title, pane.port or image.ports["terminal"])


MACHINE = (
    Row("name", scalar(scalars.machine_label), required=True, example="name: box"),
    Row("type", scalar(scalars.one_of("vm", planned=("container",))), required=True, example="type: vm"),
    Row("image", mapping(IMAGE, image_from), required=True, example="image: {bundled: tiny}"),
    Row("cpu", scalar(scalars.whole(1, 64)), default=1),
    Row("memory", scalar(scalars.memory), required=True, example="memory: 256Mi"),
    Row("users", listing(mapping(USER, user_from, label=labelled("user")), name=lambda n: peek(n, "name")), default=()),
    Row("panes", listing(pane, name=pane_name), default=()),
    Row("overrides", not_built("this key")),
)


def egress(node: Node) -> str:
    """One word, or a list of networks; what only a later version holds to is refused, not passed over."""
    if isinstance(node, SequenceNode):
        not_built("a list of networks")(node)
    word: str = scalar(scalars.one_of("none", planned=("dns", "internet")))(node)
    return word


NETWORK = (Row("egress", egress, default="none"),)

LIFETIME = (
    Row("max", scalar(scalars.seconds)),
    Row("idle", scalar(scalars.seconds)),
)

VARIABLE = (
    Row("value", scalar(scalars.paragraph)),
    Row("from", not_built("a variable drawn from a pattern")),
)


def variable_from(value: str | None, **_: Any) -> Variable:
    if value is None:
        raise Wrong("has no value; write for example {value: some text}")
    return Variable(value)


def declared_name(text: str) -> str:
    if text in BUILT_IN_VARIABLES:
        raise Wrong("is built in; choose another name")
    return scalars.variable_name(text)


def minutes(text: str) -> int:
    return max(1, round(scalars.seconds(text) / 60))


machine = mapping(MACHINE, machine_from, label=labelled("machine"))
variables = table(
    declared_name,
    mapping(VARIABLE, variable_from),
    label=lambda name: f"variable '{name}'",
)

LAB = (
    Row("apiVersion", scalar(scalars.one_of("labkit/v1")), required=True, example="apiVersion: labkit/v1"),
    Row("kind", scalar(scalars.one_of("Lab")), required=True, example="kind: Lab"),
    Row("name", scalar(scalars.label), required=True, example="name: my-lab"),
    Row("title", scalar(scalars.line(120)), required=True, example="title: My first lab"),
    Row("description", scalar(scalars.paragraph), default=""),
    Row("duration", scalar(minutes)),
    Row("tags", listing(scalar(scalars.label), name=lambda node: str(node.value)), default=()),
    Row(
        "machines",
        listing(machine, name=lambda node: peek(node, "name"), least=1, most=16),
        required=True,
        example="machines: [{name: box, type: vm, image: {bundled: tiny}, memory: 256Mi}]",
    ),
    Row("network", mapping(NETWORK, Network), default=Network()),
    Row("lifetime", mapping(LIFETIME, lambda max, idle: Lifetime(max, idle)), default=Lifetime()),
    Row("variables", variables, default={}),
)
