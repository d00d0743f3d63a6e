"""A template's folder to a `Template`: the part's input, with all faults at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import Node

from labkit import documents
from labkit.errors import Fault, Invalid, NotFound
from labkit.templates import references
from labkit.templates.checks import by_step, read_scripts, step_folders
from labkit.templates.files import MOST_BYTES, digest, files, links
from labkit.templates.keys import LAB, sets_from
from labkit.templates.part_keys import pane_name
from labkit.templates.schema import File, Template
from labkit.templates.variables import built_in
from labkit.wording import did_you_mean

FILE = "lab.yaml"
MOST_PLACED_BYTES = 256 << 10
"""The largest file of a template that is placed in a machine: a Secret of the cluster holds 1 MiB in all."""
LAB_READER = documents.mapping(LAB, dict)

Fields = dict[str, Any]


def load(folder: Path) -> Template:
    """The template in `folder`.

    Raises NotFound where there is no lab.yaml, and Invalid with every fault in it and in the checks folder (the files
    are named relative to `folder`). The instructions are not read here.
    """
    faults = [Fault(name, 0, "is a symbolic link; a template holds plain files only") for name in links(folder)]
    fields, wrong = _read_lab(folder)
    faults += wrong
    machines = [machine.name for machine in fields["machines"]] if fields else None
    conducts = fields.pop("checks", {})
    scripts, wrong = read_scripts(folder, machines if fields else outline(folder).machine_names, conducts)
    faults += wrong
    if faults:
        raise Invalid(faults)
    return Template(
        **fields,
        folder=folder,
        digest=digest(folder),
        checks=by_step(scripts["check"]),
        setups=scripts["setup"],
        solutions=scripts["solve"],
        cleanups=scripts["cleanup"],
    )


def _read_lab(folder: Path) -> tuple[dict[str, Any], list[Fault]]:
    try:
        root = documents.compose(_text(folder))
        fields = _fields(**LAB_READER(root))
    except documents.Refused as refused:
        return {}, [Fault(FILE, finding.line, finding.sentence) for finding in refused.findings]
    steps = [path.name for path in step_folders(folder)]
    wrong = [Fault(FILE, finding.line, finding.sentence) for finding in references.findings(root)]
    wrong += [
        Fault(
            FILE,
            documents.line_of(key),
            f"checks: there is no folder checks/{key.value}{did_you_mean(key.value, steps)}",
        )
        for key, _ in documents.entries(documents.child(root, "checks"))
        if key.value not in steps
    ]
    sources = {node.value: documents.line_of(node) for node in documents.scalars(root)}
    contents, missing = _contents(folder, sorted({file.source for file in _files(fields) if file.source}), sources)
    return _with_contents(fields, contents), wrong + missing


def _fields(*, duration: int | None, configMaps: Any, secrets: Any, apiVersion: str, kind: str, **rest: Any) -> Fields:
    return {**rest, "duration_minutes": duration, "file_sets": sets_from(configMaps, secrets)}


def _files(fields: Fields) -> list[File]:
    return [file for holder in (*fields["machines"], *fields["file_sets"]) for file in holder.files]


def _contents(folder: Path, names: list[str], lines: Mapping[str, int]) -> tuple[dict[str, bytes], list[Fault]]:
    """The bytes of the files that lab.yaml places in machines, by name, and those that cannot be had."""
    contents, faults = {}, []
    for name in names:
        path = folder / name
        if not path.is_file():
            near = did_you_mean(name, files(folder))
            faults.append(Fault(FILE, lines[name], f"source: the template has no file '{name}'{near}"))
        elif path.stat().st_size > MOST_PLACED_BYTES:
            text = f"source: '{name}' has more than {MOST_PLACED_BYTES} bytes; put it into an image"
            faults.append(Fault(FILE, lines[name], text))
        else:
            contents[name] = path.read_bytes()
    return contents, faults


def _with_contents(fields: Fields, contents: Mapping[str, bytes]) -> Fields:
    def filled(holder: Any) -> Any:
        return replace(holder, files=tuple(replace(f, data=contents.get(f.source, b"")) for f in holder.files))

    return {**fields, **{key: tuple(map(filled, fields[key])) for key in ("machines", "file_sets")}}


def _text(folder: Path) -> str:
    path = folder / FILE
    if not path.is_file():
        raise NotFound(f"'{folder}' holds no template: there is no {FILE} in it")
    if path.stat().st_size > MOST_BYTES:
        raise documents.Refused([documents.Finding(0, f"has more than {MOST_BYTES} bytes")])
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise documents.Refused([documents.Finding(0, "is not UTF-8 text")]) from None


@dataclass(frozen=True)
class Outline:
    """The names in a template, read without judging: what instructions may refer to though lab.yaml has faults.

    None: the file cannot be read far enough to know.
    """

    machines: Mapping[str, frozenset[str]] | None
    variables: frozenset[str] | None
    checks: frozenset[str]
    language: str = "en"

    @property
    def machine_names(self) -> list[str] | None:
        return None if self.machines is None else list(self.machines)


def outline(folder: Path) -> Outline:
    """The names in the template in `folder`: machines with their panes, variables, checked steps. Raises NotFound."""
    checks = frozenset(path.name for path in step_folders(folder))
    try:
        root = documents.compose(_text(folder))
    except documents.Refused:
        return Outline(None, None, checks)  # its faults are load()'s to tell
    machines = {
        name: frozenset(filter(None, map(pane_name, documents.items(documents.child(machine, "panes")))))
        for machine in documents.items(documents.child(root, "machines"))
        if (name := documents.peek(machine, "name"))
    }
    known = built_in(machines) | _keys(documents.child(root, "variables"))
    return Outline(machines, known, checks, documents.peek(root, "language") or "en")


def _keys(node: Node | None) -> frozenset[str]:
    return frozenset(str(key.value) for key, _ in documents.entries(node))
