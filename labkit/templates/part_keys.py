"""The tables of what belongs to a machine: its users, panes, files, services and networks, and when it is ready."""

from __future__ import annotations

from collections.abc import Callable

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from labkit.documents import Row, Wrong, by_kind, listing, mapping, named, peek, scalar
from labkit.model import Pane, PaneType
from labkit.templates import scalars
from labkit.templates.schema import File, Readiness, User

PANE_TITLES = {
    PaneType.TERMINAL: "Terminal",
    PaneType.CONSOLE: "Console",
    PaneType.VNC: "Screen",
    PaneType.EXEC: "Shell",
    PaneType.HTTP: "Page",
}
PANES_WITH_PORT = (PaneType.TERMINAL, PaneType.HTTP)
port = scalar(scalars.whole(1, 65535))


def labelled(kind: str) -> Callable[[Node], str]:
    """How faults call a node that has a name: machine 'web'."""
    return lambda node: f"{kind} '{named(node)}'" if named(node) else f"a {kind}"


def password_from(generate: bool, value: str | None) -> tuple[bool, str | None]:
    if generate == (value is not None):
        raise Wrong("give either {generate: true} or {value: …}")
    return generate, value


PASSWORD = (
    Row("generate", scalar(scalars.truth), "`true`: each lab gets its own, shown beside it", default=False),
    Row("value", scalar(scalars.password), "the password itself, the same in all labs"),
)


KEY_PAIR = (
    Row(
        "generate",
        scalar(scalars.only_true),
        "`true`: each lab gets its own pair, whose private half is shown beside it",
        required=True,
        example="generate: true",
    ),
)
key = by_kind({ScalarNode: scalar(scalars.public_key), MappingNode: mapping(KEY_PAIR, lambda generate: None)})
"""A public key; None where a pair is to be generated."""


def user_from(
    name: str, password: tuple[bool, str | None], keys: tuple[str | None, ...], sudo: bool, shell: str | None
) -> User:
    return User(name, *password, tuple(filter(None, keys)), None in keys, sudo, shell)


USER = (
    Row(
        "name",
        scalar(scalars.user_name),
        "the account's name; `root` is kept for labkit",
        required=True,
        example="name: student",
    ),
    Row(
        "password",
        mapping(PASSWORD, password_from),
        "`{generate: true}` or `{value: TEXT}`; without it, nobody can sign in with one",
        default=(False, None),
    ),
    Row("keys", listing(key), "public SSH keys that may sign in; `{generate: true}`: one of the lab's own", default=()),
    Row("sudo", scalar(scalars.truth), "`true`: may become root with `sudo`, without a password", default=False),
    Row("shell", scalar(scalars.guest_path), "the login shell; without it, `/bin/sh`"),
)

pane_type = scalar(scalars.one_of(*PaneType))


def pane_from(name: str | None, type: str, title: str | None, port: int | None, path: str | None) -> Pane:
    kind = PaneType(type)
    if port is not None and kind not in PANES_WITH_PORT:
        raise Wrong(f"a {kind} pane has no port; leave it out", key="port")
    if kind is PaneType.HTTP and port is None:
        raise Wrong("an http pane needs the port of its server; write for example 'port: 80'")
    if path is not None and kind is not PaneType.HTTP:
        raise Wrong(f"a {kind} pane has no path; leave it out", key="path")
    return Pane(name or kind.value, kind, title or PANE_TITLES[kind], port, path or "")


PANE = (
    Row(
        "type",
        pane_type,
        "`terminal`, `console` (serial line, vm), `vnc` (screen, vm), `exec` (a shell, container), `http` (a page that "
        "the machine serves)",
        required=True,
        example="type: terminal",
    ),
    Row("name", scalar(scalars.label), "what instructions call it; without it, the type"),
    Row("title", scalar(scalars.line(60)), "what the tab shows; without it, a word for the type"),
    Row("port", port, "`http`: the server's TCP port; `terminal`: that of the terminal's server, else the image's own"),
    Row("path", scalar(scalars.url_path), "`http`: the page that is opened first; without it, `/`"),
)


def pane_name(node: Node) -> str | None:
    """A pane is called by its name, else by its type."""
    return str(node.value) if isinstance(node, ScalarNode) else named(node) or peek(node, "type")


pane = by_kind(
    {
        ScalarNode: scalar(lambda text: pane_from(None, scalars.one_of(*PaneType)(text), None, None, None)),
        MappingNode: mapping(PANE, pane_from, label=lambda node: f"pane '{pane_name(node)}'"),
    }
)

CONTENT = (
    Row("content", scalar(scalars.content), "the text; `{{ name }}` stands for a declared variable"),
    Row("source", scalar(scalars.template_path), "a file of the template, taken as it is: `files/site.conf`"),
)
FILE = (
    Row("path", scalar(scalars.guest_path), "where it is placed", required=True, example="path: /etc/motd"),
    *CONTENT,
    Row("mode", scalar(scalars.mode), 'its mode, in quotes; without it, `"0644"`', default="0644"),
    Row("owner", scalar(scalars.owner), "vm: its owner and group; without it, `root:root`", default="root:root"),
)


def file_from(path: str, content: str | None, source: str | None, mode: str, owner: str) -> File:
    if (content is None) == (source is None):
        raise Wrong("wants either 'content: TEXT' or 'source: files/NAME'")
    return File(path, content, source or "", b"", mode, owner)


set_content = by_kind(
    {
        ScalarNode: scalar(lambda text: File("", scalars.content(text))),
        MappingNode: mapping(CONTENT, lambda content, source: file_from("", content, source, "0644", "root:root")),
    }
)
"""A file of a set: its text alone, or `{source: files/NAME}`."""

HTTP = (
    Row("port", port, "the server's TCP port", required=True, example="port: 80"),
    Row("path", scalar(scalars.url_path), "the page that is asked for; without it, `/`", default="/"),
)
READY = (
    Row("agent", scalar(scalars.only_true), "`true`: the guest agent answers (vm)"),
    Row("tcp", port, "this TCP port accepts connections"),
    Row("http", mapping(HTTP, lambda port, path: (port, path)), "`{port: 80, path: /}` is answered below status 400"),
    Row("timeout", scalar(scalars.seconds), "the start fails after this time; without it, after `start_timeout`"),
)


def ready_from(agent: bool | None, tcp: int | None, http: tuple[int, str] | None, timeout: int | None) -> Readiness:
    if sum(given is not None for given in (agent, tcp, http)) != 1:
        raise Wrong("wants one of {agent: true}, {tcp: PORT} and {http: {port: PORT}}")
    if agent:
        return Readiness("agent", timeout_seconds=timeout)
    return Readiness("tcp", tcp, timeout_seconds=timeout) if http is None else Readiness("http", *http, timeout)


SERVICE = (
    Row("name", scalar(scalars.machine_label), "the further name", required=True, example="name: www"),
    Row("port", port, "the port that is served there", required=True, example="port: 80"),
    Row("protocol", scalar(scalars.one_of("TCP", "UDP")), "without it, `TCP`", default="TCP"),
)
ATTACHMENT = (
    Row("name", scalar(scalars.machine_label), "the interface's name in the lab", required=True, example="name: dmz"),
    Row(
        "network",
        scalar(scalars.object_name),
        "a NetworkAttachmentDefinition (Multus), as NAMESPACE/NAME",
        required=True,
        example="network: nets/dmz",
    ),
    Row("mac", scalar(scalars.mac), "its hardware address; without it, one is chosen"),
)
