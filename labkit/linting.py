"""A whole template, judged: lab.yaml, its checks and its instructions together. Above both."""

from __future__ import annotations

import os
from pathlib import Path

from labkit import instructions, templates
from labkit.errors import Fault, Invalid


def lint(folder: Path, *, any_name: bool = False) -> tuple[Fault, ...]:
    """Every fault of the template in `folder`, sorted by place; files are named relative to it.

    `any_name`: the folder is only where it lies for the moment. Raises NotFound where there is no lab.yaml.
    """
    found: list[Fault] = []
    try:
        template = templates.load(folder)
        found += [] if any_name else _name_fault(template, folder)
    except Invalid as invalid:
        found += invalid.faults
    # References are judged against the names in lab.yaml even where other things in it are wrong.
    names = templates.outline(folder)
    try:
        pages = instructions.load_pages(folder)
    except Invalid as invalid:
        return tuple(sorted([*found, *invalid.faults]))
    found += instructions.faults(
        pages,
        declared=names.variables,
        checks=names.checks,
        machines=names.machines,
        media=instructions.media_files(folder),
        language=names.language,
    )
    return tuple(sorted(found))


def hints(folder: Path) -> tuple[Fault, ...]:
    """What works in the template in `folder` and hurts all the same; nothing where it has faults."""
    try:
        template = templates.load(folder)
        pages = instructions.load_pages(folder)
    except Invalid:
        return ()
    steps = instructions.render(pages, variables={}, checks=template.checks).steps
    free = [step.id for step in steps if step.check and not step.points] if any(s.points for s in steps) else []
    texts = [f"checks/{step}: the step has a check and no points, while others have some" for step in free]
    gaps = instructions.untranslated(pages, template.language)
    return tuple(sorted([*templates.hints(template), *(Fault("lab.yaml", 0, text) for text in texts), *gaps]))


def _name_fault(template: templates.Template, folder: Path) -> list[Fault]:
    """Templates are found by their folder's name, so that a lab could not find a template of another name again."""
    name = Path(os.path.abspath(folder)).name  # not resolved: a template's name may be a link to its content
    if name == template.name:
        return []
    return [Fault("lab.yaml", 0, f"name: '{template.name}' is not the folder's name '{name}'; make them the same")]
