"""The operator's policy, asked where a lab's objects are about to be made. Read anew each time: it may have changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labkit.errors import Forbidden, Invalid, NotFound
from labkit.manifests.lab import LabPlan, lab_objects
from labkit.manifests.scope import Object
from labkit.manifests.site import Site
from labkit.orchestrator.access import Access, draw
from labkit.orchestrator.template_source import TemplateSource
from labkit.policy import Cap, Policy, crowded, load, refusals, size_of
from labkit.store import LabRow
from labkit.templates import CATALOGUE, Image, Template, declared

_ANY = "a000000000"
"""An id, where a lab is only thought of."""


def permit(path: Path | None, template: Template, objects: Sequence[Object], site: Site) -> None:
    """Raises Forbidden with every refusal, Invalid for a policy file with faults: then nothing is allowed."""
    _refuse_if(_refusals(load(path), template, objects, site))


def _refusals(rules: Policy, template: Template, objects: Sequence[Object], site: Site) -> list[str]:
    bundled = {site.image(Image("bundled", image.name)) for image in CATALOGUE} if site.registry else ()
    return refusals(rules, template, objects, bundled=bundled)


def refused(path: Path | None, template: Template, site: Site) -> list[str]:
    """Why the policy in `path` (None: labkit's own) would refuse a lab of `template` though there were no other. Raises
    Invalid for a file with faults, NotFound for none."""
    if path is not None and not path.is_file():
        raise NotFound(f"there is no policy {path}")
    access = Access(_ANY, draw(template))
    machines = {machine.name: access.machine(machine, b"") for machine in template.machines}
    variables = declared(template, learner="", lab=_ANY, seed="")
    objects = lab_objects(LabPlan(_ANY, _ANY, template, machines, site=site, variables=variables))
    rules = load(path)
    return [*_refusals(rules, template, objects, site), *crowded(rules, size_of(rules, template), [], [])]


def permit_room(
    path: Path | None, template: Template, row: LabRow, labs: Sequence[LabRow], known: TemplateSource
) -> None:
    """Whether the lab `row` may run beside those of `labs` that came before it. Raises Forbidden, Invalid."""
    rules = load(path)
    sizes: dict[tuple[str, str], Cap] = {}
    before = [lab for lab in labs if lab.id != row.id and (lab.created, lab.id) < (row.created, row.id)]
    for lab in before:
        if (lab.template, lab.digest) not in sizes:
            sizes[lab.template, lab.digest] = _size(rules, lab, known)
    everybody = [(lab.learner, sizes[lab.template, lab.digest]) for lab in before]
    own = [size for learner, size in everybody if learner == row.learner]
    _refuse_if(crowded(rules, size_of(rules, template), own, [size for _, size in everybody]))


def _size(rules: Policy, lab: LabRow, known: TemplateSource) -> Cap:
    try:
        return size_of(rules, known.load(lab.template, lab.digest))
    except (NotFound, Invalid):
        return Cap(labs=1)  # its template was taken away; it is there all the same


def _refuse_if(found: Sequence[str]) -> None:
    if found:
        raise Forbidden("; ".join(found))
