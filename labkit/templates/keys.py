"""The tables: which keys `lab.yaml` may hold, what each means, and how it is read. A new key is a new row.

`LAB` at the foot is the whole file; what a machine may hold is in `machine_keys`.
"""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml.nodes import ScalarNode, SequenceNode

from labkit.documents import Reader, Row, Wrong, by_kind, listing, mapping, named, scalar, table
from labkit.templates import patterns, scalars
from labkit.templates.disk_keys import IMAGE, image_from
from labkit.templates.machine_keys import machine
from labkit.templates.part_keys import labelled, set_content
from labkit.templates.schema import Conduct, File, FileSet, Image, Lifetime, Network, Variable, Volume
from labkit.templates.variables import is_built_in

_LONGEST_CHECK = 600


def egress_from(words: str | tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    return (words, ()) if isinstance(words, str) else ("cidrs", words)


egress = by_kind(
    {
        ScalarNode: scalar(scalars.one_of("none", "dns", "internet")),
        SequenceNode: listing(scalar(scalars.cidr), least=1),
    }
)

NETWORK = (
    Row("egress", egress, "`none`, `dns`, `internet`, or a list of networks such as `192.0.2.0/24`", default="none"),
    Row(
        "binding",
        scalar(scalars.one_of("bridge", "masquerade")),
        "how a vm is bound to the pod network; without it, `bridge`: the vm has the pod's own address",
        default="bridge",
    ),
)


def network_from(egress: str | tuple[str, ...], binding: str) -> Network:
    return Network(*egress_from(egress), binding)


LIFETIME = (
    Row("max", scalar(scalars.seconds), "the lab is ended this long after it was ready: `45m`, `4h`"),
    Row("idle", scalar(scalars.seconds), "the lab is ended after this time without use"),
)


def pattern(text: str) -> str:
    """A pattern that a value can be drawn from."""
    try:
        patterns.parse(text)
    except ValueError as error:
        raise Wrong(str(error)) from None
    return text


VARIABLE = (
    Row("value", scalar(scalars.paragraph), "the text itself"),
    Row("from", scalar(pattern), r"a pattern that the value is drawn from: `'LAB\{[a-f0-9]{12}\}'`"),
)


def variable_from(value: str | None, **given: str | None) -> Variable:
    drawn = given["from"]
    if (value is None) == (drawn is None):
        raise Wrong("wants either {value: some text} or {from: 'a pattern'}")
    return Variable(value, drawn)


def declared_name(text: str) -> str:
    if is_built_in(text):
        raise Wrong("is built in; choose another name")
    return scalars.variable_name(text)


CHECK = (
    Row("user", scalar(scalars.account), "whose the scripts are in their machines; without it, `root`", default="root"),
    Row("timeout", scalar(scalars.seconds), "a script is ended after this time: `90s`; without it, `30s`", default=30),
)


def conduct_from(user: str, timeout: int) -> Conduct:
    if timeout > _LONGEST_CHECK:
        raise Wrong(f"may be at most {_LONGEST_CHECK // 60}m: a learner waits for it", key="timeout")
    return Conduct(user, timeout)


VOLUME = (
    Row("name", scalar(scalars.label), "what machines call it", required=True, example="name: data"),
    Row("size", scalar(scalars.disk_size), "a Kubernetes quantity; needed without `image`, or with one from `url`"),
    Row("image", mapping(IMAGE, image_from), "what it is filled with at first; without it, nothing"),
    Row("storageClass", scalar(scalars.line(63)), "the cluster's storage class; without it, the cluster's default"),
    Row(
        "access",
        scalar(scalars.one_of("ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany")),
        "without it, `ReadWriteOnce`: for one machine at a time",
        default="ReadWriteOnce",
    ),
)


def volume_from(name: str, size: int | None, image: Image | None, storageClass: str | None, access: str) -> Volume:
    if image is not None and image.size_bytes is not None:
        raise Wrong("says its size in 'size' of the volume, not in its image", key="image")
    if size is None and (image is None or image.source != "clone"):
        raise Wrong("has no size; write for example 'size: 5Gi'")
    return Volume(name, size, image, storageClass, access)


def minutes(text: str) -> int:
    return max(1, (int(scalars.seconds(text)) + 30) // 60)


def language(text: str) -> str:
    if not re.fullmatch("[a-z]{2}", text):
        raise Wrong(f"'{text}' is no language of two letters, such as en or de")
    return text


def file_sets(kind: str) -> Reader:
    """Sets of files by name, each with its files by name."""
    one = table(scalars.file_name, set_content, label=lambda name: f"file '{name}'")
    return table(scalars.label, one, label=lambda name: f"{kind} '{name}'")


variables = table(declared_name, mapping(VARIABLE, variable_from), label=lambda name: f"variable '{name}'")
checks = table(scalars.label, mapping(CHECK, conduct_from), label=lambda name: f"check of step '{name}'")
volume = mapping(VOLUME, volume_from, label=labelled("volume"))

LAB = (
    Row("apiVersion", scalar(scalars.one_of("labkit/v1")), "`labkit/v1`", True, example="apiVersion: labkit/v1"),
    Row("kind", scalar(scalars.one_of("Lab")), "`Lab`", True, example="kind: Lab"),
    Row("name", scalar(scalars.label), "the folder's name: a-z, 0-9 and `-`, at most 63", True, example="name: my-lab"),
    Row("title", scalar(scalars.line(120)), "one line, at most 120 characters", True, example="title: My first lab"),
    Row("description", scalar(scalars.paragraph), "some sentences", default=""),
    Row("language", scalar(language), "what the pages in `instructions/` are written in: `en`, `de`", default="en"),
    Row("duration", scalar(minutes), "how long a learner needs: `45m`, `1h30m`"),
    Row(
        "tags",
        listing(scalar(scalars.label), name=lambda node: str(node.value)),
        "a list of words, each written like a name",
        default=(),
    ),
    Row(
        "machines",
        listing(machine, name=named, least=1, most=16),
        "1 to 16 [machines](#a-machine)",
        required=True,
        example="machines: [{name: box, type: vm, image: {bundled: tiny}, memory: 256Mi}]",
    ),
    Row(
        "network",
        mapping(NETWORK, network_from),
        "what machines may reach outside the lab; without it, nothing: [network](#network)",
        default=Network(),
    ),
    Row(
        "lifetime",
        mapping(LIFETIME, lambda max, idle: Lifetime(max, idle)),
        "when a lab is ended without being asked: [lifetime](#lifetime)",
        default=Lifetime(),
    ),
    Row("variables", variables, "texts for use in instructions, files and checks: [variables](#variables)", default={}),
    Row("checks", checks, "how the scripts of a step are run, by the step's id: [checks](#checks)", default={}),
    Row(
        "volumes",
        listing(volume, name=named, most=16),
        "disks of the lab's own that outlive a switch-off: [volumes](#volumes)",
        default=(),
    ),
    Row(
        "configMaps",
        file_sets("configMap"),
        "sets of files for disks and folders, by name: [files in sets](#files-in-sets)",
        default={},
    ),
    Row("secrets", file_sets("secret"), "the same, kept as Secrets in the cluster", default={}),
)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of lab.yaml: what the tables hold, for editors."""
    whole = mapping(LAB, dict).schema
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "labkit lab.yaml", **whole}


def sets_from(config_maps: dict[str, dict[str, File]], secrets: dict[str, dict[str, File]]) -> tuple[FileSet, ...]:
    """The values of `configMaps` and `secrets` as file sets."""
    found: list[FileSet] = []
    for secret, sets in ((False, config_maps), (True, secrets)):
        found += [FileSet(name, _placed(files), secret) for name, files in sets.items()]
    return tuple(found)


def _placed(files: dict[str, Any]) -> tuple[File, ...]:
    return tuple(File(name, file.text, file.source) for name, file in files.items())
