"""image.yaml: what a person writes to have an image of their own, read with every fault and its line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ruamel.yaml.nodes import Node

from labkit.documents import Reader, Refused, Row, Wrong, listing, mapping, peek, read, scalar, table
from labkit.images.definition import MIB, Definition, File, Service, User
from labkit.images.errors import DefinitionInvalid
from labkit.images.recipe import HERE

FILE = "image.yaml"
SUITES = ("bookworm", "trixie", "forky")
NOTHING = "nothing"
DEFAULT_SIZE = 4096 * MIB
UNITS = {"Mi": MIB, "Gi": 1024 * MIB}


def bundled() -> list[str]:
    """The definitions that come with labkit."""
    return sorted(path.parent.name for path in HERE.glob(f"*/{FILE}"))


def find(name: str) -> Path | None:
    """The image.yaml that a name or path means: of labkit's own by its name, else a file, or a folder with one."""
    if name in bundled():
        return HERE / name / FILE
    path = Path(name).expanduser()
    path = path / FILE if path.is_dir() else path
    return path.resolve() if path.is_file() and path.suffix in (".yaml", ".yml") else None


def load(path: Path, *, above: tuple[Path, ...] = ()) -> Definition:
    """Read an image.yaml and what it is based on. Raises DefinitionInvalid with all faults, a line each."""
    try:
        text = path.read_text()
        return read(text, mapping(rows(path.parent), _Maker(path, text, (*above, path))))  # type: ignore[no-any-return]
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionInvalid(f"{path} cannot be read: {error}.") from error
    except Refused as refused:
        faults = sorted((found.line, found.sentence) for found in refused.findings)
        raise DefinitionInvalid("\n".join(f"{path}:{line}: {sentence}" for line, sentence in faults)) from None


class _Maker:
    """Makes a Definition of an image.yaml's values: checks what concerns several keys, and adds the base's."""

    def __init__(self, path: Path, text: str, chain: tuple[Path, ...]) -> None:
        self._path, self._text, self._chain = path, text, chain

    def __call__(self, base: str, size: int | None, **given: object) -> Definition:
        suite = base.removeprefix("debian/") if base.startswith("debian/") else ""
        own = Definition(
            folder=self._path.parent,
            suite=suite,
            disk="",
            from_nothing=base == NOTHING,
            size=size or DEFAULT_SIZE,
            texts=(self._text,),
            **given,  # type: ignore[arg-type]
        )
        if base == NOTHING:
            own = replace(own, suite=SUITES[-1])
        _judge(own)
        return own if own.suite else self._on_top(own, base, size)

    def _on_top(self, own: Definition, base: str, size: int | None) -> Definition:
        path = find(str(self._path.parent / base) if base.startswith(".") else base)
        if path is None:
            if own.kind == "container":
                known = ", ".join([*bundled(), NOTHING, *(f"debian/{suite}" for suite in SUITES)])
                raise Wrong(f"no definition is called '{base}'; known: {known}", key="base")
            return replace(own, disk=base, size=size or 0)
        if path in self._chain:
            raise Wrong("is based on itself", key="base")
        try:
            lower = load(path, above=self._chain)
        except DefinitionInvalid as error:
            raise Wrong(f"the base has faults of its own: {error}", key="base") from None
        if lower.kind != own.kind:
            raise Wrong(f"'{base}' is a {lower.kind}, this is a {own.kind}", key="base")
        return _merged(lower, own, size)


def _merged(lower: Definition, own: Definition, size: int | None) -> Definition:
    return replace(
        own,
        exclude=(*lower.exclude, *own.exclude),
        files=(*lower.files, *own.files),
        users=(*lower.users, *own.users),
        services=(*lower.services, *own.services),
        suite=lower.suite,
        disk=lower.disk,
        from_nothing=lower.from_nothing,
        packages=tuple(dict.fromkeys((*lower.packages, *own.packages))),
        commands=(*lower.commands, *own.commands),
        texts=(*lower.texts, *own.texts),
        size=size or lower.size,
        command=own.command or lower.command,
        ports=tuple(dict.fromkeys((*lower.ports, *own.ports))),
        env={**lower.env, **own.env},
    )


def _judge(made: Definition) -> None:
    """Raise Wrong for keys that do not belong to the kind or the base."""
    if made.kind == "container" and made.services:
        raise Wrong("a container runs one command and no services; start what it needs from 'command'", key="services")
    if made.kind == "vm" and (made.command or made.ports or made.env):
        key = next(key for key in ("command", "ports", "env") if getattr(made, key))
        raise Wrong("is a container's; a VM runs services", key=key)
    if made.from_nothing and made.kind == "vm":
        raise Wrong("a VM needs a Debian suite or another image as its base", key="base")
    if made.from_nothing and made.users:
        raise Wrong("nothing is there to make users with; write /etc/passwd as a file", key="users")
    if made.from_nothing and "busybox" not in made.packages:
        raise Wrong("on nothing the commands are run by busybox: name it", key="packages")


def _pattern(expression: str, what: str) -> Reader:
    def convert(text: str) -> str:
        if not re.fullmatch(expression, text):
            raise Wrong(f"'{text}' is no {what}")
        return text

    return scalar(convert)


def _choice(*words: str) -> Reader:
    def convert(text: str) -> str:
        if text not in words:
            raise Wrong(f"'{text}' is unknown; known: {', '.join(words)}")
        return text

    return scalar(convert)


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)(Mi|Gi)", text)
    if not match or not int(match[1]):
        raise Wrong(f"'{text}' is no size; write for example 8Gi")
    return int(match[1]) * UNITS[match[2]]


def _base(text: str) -> str:
    if text.startswith("debian/") and text.removeprefix("debian/") not in SUITES:
        raise Wrong(f"'{text}' is unknown; known: {', '.join(f'debian/{suite}' for suite in SUITES)}")
    return text


def _mode(text: str) -> int:
    if not re.fullmatch(r"0?[0-7]{3,4}", text):
        raise Wrong(f"'{text}' are no permissions; write for example \"0644\"")
    return int(text, 8)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise Wrong(f"'{text}' is no port (1 to 65535)")
    return int(text)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise Wrong("wants true or false")
    return text == "true"


def _file(folder: Path, path: str, content: str | None, source: str | None, mode: int | None, owner: str) -> File:
    if (content is None) == (source is None):
        raise Wrong("wants either 'content' or 'source'", key="content" if content is not None else "path")
    place = folder / source if source is not None else None
    if place is not None and not place.exists():
        raise Wrong(f"there is no {place}", key="source")
    return File(path, content, place, mode, owner)


def rows(folder: Path) -> tuple[Row, ...]:
    """The keys of image.yaml."""
    text = scalar(str)
    word = _pattern(r"[a-z_][a-z0-9_-]{0,31}", "name of a user or group")
    path = _pattern(r"/[^\n]*", "absolute path")
    owner = _pattern(r"[a-z_][a-z0-9_-]*(:[a-z_][a-z0-9_-]*)?", "owner; write for example root:root")
    file = (
        Row("path", path, required=True, example="path: /etc/motd"),
        Row("content", text),
        Row("source", text),
        Row("mode", scalar(_mode)),
        Row("owner", owner, default="root:root"),
    )
    user = (
        Row("name", word, required=True, example="name: student"),
        Row("groups", listing(word), default=()),
        Row("shell", path, default="/bin/bash"),
        Row("sudo", scalar(_flag), default=False),
        Row("password", _pattern(r"[^:\n]+", "password (no colon, no line end)")),
    )
    service = (
        Row("name", _pattern(r"[A-Za-z0-9@._-]+", "service"), required=True, example="name: ssh"),
        Row("command", _pattern(r"/[^\n]+", "command; it begins with the program's absolute path")),
        Row("user", word, default="root"),
    )
    packages = listing(_pattern(r"[a-z0-9][a-z0-9.+-]+", "Debian package"), name=_text, most=500)
    name = _pattern(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", "name of an image")
    return (
        Row("name", name, required=True, example="name: mine"),
        Row("title", text, default=""),
        Row("kind", _choice("vm", "container"), required=True, example="kind: vm"),
        Row("base", scalar(_base), required=True, example=f"base: debian/{SUITES[-1]}"),
        Row("packages", packages, default=()),
        Row("exclude", listing(path, most=500), default=()),
        Row(
            "files",
            listing(mapping(file, lambda **given: _file(folder, **given), label=_label("file", "path")), most=200),
            default=(),
        ),
        Row("users", listing(mapping(user, User, label=_label("user", "name")), name=_name), default=()),
        Row("services", listing(mapping(service, Service, label=_label("service", "name")), name=_name), default=()),
        Row("commands", listing(text, most=200), default=()),
        Row("size", scalar(_size)),
        Row("command", listing(text), default=()),
        Row("ports", listing(scalar(_port)), default=()),
        Row("env", table(str, text, label=lambda name: f"variable '{name}'"), default={}),
    )


def _text(node: Node) -> str | None:
    return str(node.value)


def _name(node: Node) -> str | None:
    return peek(node, "name")


def _label(what: str, key: str) -> Callable[[Node], str]:
    return lambda node: f"{what} '{peek(node, key) or '?'}'"
