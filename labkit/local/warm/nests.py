"""What is parked: a spare, and the network with those of one set."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from labkit.local.objects import Obj
from labkit.local.qemu import plan
from labkit.local.qemu.machine import Machine
from labkit.local.warm import waking

NAMESPACE = "parked"
"""Of those whom nobody has taken."""


@dataclass
class Spare:
    """A parked machine: a VMI that nobody asked for, its QEMU, paused, and what it is told by.

    ``taken``: a VMI has its uid now.
    """

    vmi: Obj
    key: str
    machine: Machine
    line: waking.Line
    taken: bool = False


@dataclass
class Nest:
    """A network with the spares of one set.

    ``kinds`` are their templates; ``space`` is the namespace (uid) that took it over, ``since`` when.
    """

    uid: str
    name: str
    kinds: str = ""
    spares: list[Spare] = field(default_factory=list)
    space: str = ""
    since: float = 0.0

    @property
    def memory(self) -> int:
        """Bytes that the guests have."""
        return sum(plan.memory_bytes(spare.vmi) for spare in self.spares)


def nobody(vmi: Obj) -> Obj:
    """A machine like another one, with a uid and a name of its own."""
    uid = str(uuid.uuid4())
    return {**vmi, "metadata": {"name": f"spare-{uid[:8]}", "namespace": NAMESPACE, "uid": uid}}
