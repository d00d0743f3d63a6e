"""The policy file: its rules, what each means, and what holds where it says nothing. A new rule is a new row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from labkit import documents
from labkit.documents import Row, Wrong, listing, mapping, scalar, table
from labkit.errors import Fault, Invalid
from labkit.templates import scalars

GIB = 1 << 30
BUNDLED = "bundled"
PLACE = re.compile(r"\*|bundled|(https?://|pvc:)?[A-Za-z0-9.:-]+(/[!-~]*)?")
PATH = re.compile(r"\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_/-]+)*")


@dataclass(frozen=True)
class Cap:
    """The most of each: labs and machines by number, cpu in cores, memory and disk in bytes. None: no bound."""

    labs: int | None = None
    machines: int | None = None
    cpu: float | None = None
    memory: float | None = None
    disk: float | None = None


@dataclass(frozen=True)
class Policy:
    """What templates may ask for, rule by rule as in `POLICY`. `name` is the file's, for refusals."""

    images: tuple[str, ...] = (BUNDLED,)
    machine: Cap = Cap(cpu=4, memory=8 * GIB, disk=20 * GIB)
    lab: Cap = Cap(machines=8, cpu=8, memory=16 * GIB, disk=40 * GIB)
    learner: Cap = Cap(labs=5, machines=16, cpu=16, memory=32 * GIB, disk=80 * GIB)
    total: Cap = Cap()
    egress: tuple[str, ...] = ("none", "dns")
    sources: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    instancetypes: Mapping[str, Cap] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    name: str = "labkit's own policy"


def place(text: str) -> str:
    """A pattern of places. A host stands in it whole: `quay.io*` would let quay.io.evil.org in."""
    if not PLACE.fullmatch(text):
        raise Wrong(f"'{text}' is no pattern; write '*' alone, or the host whole, for example quay.io/labs/*")
    return text


def egress(text: str) -> str:
    return text if text in ("none", "dns", "internet") else scalars.cidr(text)


def override_path(text: str) -> str:
    """A path of fields; what lies below it is meant too."""
    if not PATH.fullmatch(text):
        raise Wrong(f"'{text}' is no path of fields; write for example domain.clock or nodeSelector")
    return text


def amount(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9])?", text):
        raise Wrong(f"'{text}' is no number of cores")
    return float(text)


places = listing(scalar(place), most=256)
MACHINE_CAP = (
    Row("cpu", scalar(amount), "cores"),
    Row("memory", scalar(scalars.amount), "memory"),
    Row("disk", scalar(scalars.amount), "disks that need room: empty ones, volumes, fetched images"),
)
LAB_CAP = (Row("machines", scalar(scalars.whole(0, 10**6)), "machines"), *MACHINE_CAP)
CAP = (Row("labs", scalar(scalars.whole(0, 10**6)), "labs that have not ended"), *LAB_CAP)
cap = mapping(CAP, Cap)

POLICY = (
    Row("apiVersion", scalar(scalars.one_of("labkit/v1")), "`labkit/v1`", True, example="apiVersion: labkit/v1"),
    Row("kind", scalar(scalars.one_of("Policy")), "`Policy`", True, example="kind: Policy"),
    Row("images", places, "images: `bundled` for labkit's own (disks filled from them, too), `quay.io/labs/*`, `*`"),
    Row("machine", mapping(MACHINE_CAP, Cap), "the most for one machine: `cpu`, `memory`, `disk`"),
    Row("lab", mapping(LAB_CAP, Cap), "the most for one lab: the same, and `machines`"),
    Row("learner", cap, "the most for all labs of one learner: the same, and `labs`"),
    Row("total", cap, "the most for all labs together"),
    Row("egress", listing(scalar(egress)), "`none`, `dns`, `internet`, and networks (those within them are meant too)"),
    Row(
        "dataVolumes",
        places,
        "where disks are fetched from: `https://images.example.org/*`, `quay.io/labs/*`, `pvc:golden/*`",
    ),
    Row("storageClasses", listing(scalar(scalars.line(63))), "storage classes that may be named"),
    Row("networks", places, "further networks (Multus), as NAMESPACE/NAME: `nets/*`"),
    Row(
        "instancetypes",
        table(scalars.line(63), cap, label=lambda name: f"instancetype '{name}'"),
        "those that may be used, each with its size: `u1.small: {cpu: 1, memory: 2Gi}`",
    ),
    Row(
        "overrides",
        listing(scalar(override_path)),
        "fields that overrides may set, with all below: `domain.clock`, `*`",
    ),
)


def policy_from(dataVolumes: Any, storageClasses: Any, apiVersion: str, kind: str, **given: Any) -> Policy:
    found = {**given, "sources": dataVolumes, "classes": storageClasses}
    return Policy(**{rule: value for rule, value in found.items() if value is not None})


def load(path: Path | None) -> Policy:
    """The policy in `path`; labkit's own where there is no such file. Raises Invalid with every fault in it."""
    if path is None or not path.is_file():
        return Policy()
    try:
        found: Policy = documents.read(path.read_text(encoding="utf-8"), mapping(POLICY, policy_from))
    except UnicodeDecodeError:
        raise Invalid([Fault(str(path), 0, "is not UTF-8 text")]) from None
    except documents.Refused as refused:
        raise Invalid([Fault(str(path), finding.line, finding.sentence) for finding in refused.findings]) from None
    return replace(found, name=str(path))
