"""What a controller should do about labs, given what should be and what is. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from labkit.store import LabRow

RETIRE_AT_ONCE = 5
"""More orphans than this in one pass, and half or more of all labs seen: rather a fault of ours than of theirs."""


@dataclass(frozen=True)
class Actions:
    """`retire`: labs in the cluster that should not be. `lost`: labs that should be and are not.

    `refused` is one sentence where retiring was so much that a person must decide; `retire` is empty then.
    """

    retire: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    refused: str = ""


def plan(desired: Sequence[LabRow], observed: Collection[str], busy: Collection[str], *, seen: float) -> Actions:
    """Compare the rows of labs that have not ended with the labs whose namespace the cluster had at the time `seen`.

    The rows must have been read after `seen`, since a lab's row is written before its namespace. A lab in `busy` has an
    operation that is not final: it is left to that operation.
    """
    known = {row.id for row in desired}
    retire = tuple(sorted(lab for lab in observed if lab not in known and lab not in busy))
    lost = tuple(
        row.id
        for row in desired
        if row.ready is not None and row.ready < seen and row.id not in observed and row.id not in busy
    )
    if len(retire) > RETIRE_AT_ONCE and 2 * len(retire) >= len(observed):
        refused = (
            f"the cluster has {len(retire)} labs of this installation that its database does not know, too many to "
            "remove unasked: put the right database back, or delete their namespaces by hand"
        )
        return Actions(lost=lost, refused=refused)
    return Actions(retire, lost)
