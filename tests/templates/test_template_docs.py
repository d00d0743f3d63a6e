"""What exists is documented, and what the documents show works."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.documents import Row
from labkit.instructions.attributes import ALLOWED
from labkit.instructions.blocks import alert, disclosure
from labkit.instructions.front import FRONT
from labkit.linting import lint
from labkit.manifests.lab import LabPlan, lab_objects
from labkit.manifests.scope import Object
from labkit.manifests.userdata import MachineAccess
from labkit.policy import Policy, refusals
from labkit.templates import CATALOGUE, Template, disk_keys, keys, load, machine_keys, part_keys

DOCS = Path(__file__).parents[2] / "docs"
LAB_YAML = (DOCS / "reference/lab-yaml.md").read_text()
INSTRUCTIONS = (DOCS / "reference/instructions.md").read_text()
TABLES = {
    name: getattr(module, name)
    for module in (keys, machine_keys, part_keys, disk_keys)
    for name in vars(module)
    if name.isupper() and isinstance(getattr(module, name), tuple) and isinstance(getattr(module, name)[0], Row)
}


@pytest.mark.parametrize("name", TABLES)
def test_every_key_of_lab_yaml_is_documented_with_what_it_holds(name: str) -> None:
    rows = [f"| `{row.key}` |{' yes ' if row.required else ' '}| {row.help} |" for row in TABLES[name]]
    assert [row for row in rows if row not in LAB_YAML] == []


def test_every_bundled_image_is_documented() -> None:
    assert [image.name for image in CATALOGUE if f"| `{image.name}` |" not in LAB_YAML] == []


def test_every_attribute_box_alert_and_front_matter_key_is_documented() -> None:
    words = {word for place in ALLOWED.values() for word in place} - {"id"}
    words |= {*disclosure.KINDS, *alert.KINDS, *(row.key for row in FRONT)}
    assert [word for word in sorted(words) if not re.search(rf"\b{word}\b", INSTRUCTIONS)] == []


def blocks(text: str) -> list[str]:
    """The fenced blocks of a page, in order, without their fences."""
    return [found[2] for found in re.finditer(r"^(`{3,})\w+\n(.*?)^\1$", text, re.MULTILINE | re.DOTALL)]


def test_the_lab_of_the_how_to_has_no_faults(tmp_path: Path) -> None:
    lab, page, check, *_ = blocks((DOCS / "how-to/write-a-lab.md").read_text())
    files = {"lab.yaml": lab, "instructions/1-start.md": page, "checks/work/check-box": check}
    for name, text in files.items():
        (tmp_path / "my-lab" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "my-lab" / name).write_text(text)
    assert lint(tmp_path / "my-lab") == ()


def test_the_lab_of_the_reference_has_no_faults(tmp_path: Path) -> None:
    folder = tmp_path / "two-boxes"
    (folder / "instructions").mkdir(parents=True)
    (folder / "lab.yaml").write_text(blocks(LAB_YAML)[0])
    (folder / "instructions/1.md").write_text("# A page\n\nThe flag is {{ flag }}. [Look]{open=server:terminal}\n")
    assert lint(folder) == ()


def test_the_machines_of_the_how_to_have_no_faults(tmp_path: Path) -> None:
    machines = blocks((DOCS / "how-to/write-a-lab.md").read_text())[-1]
    (tmp_path / "lab.yaml").write_text(f"{HEAD}{machines}")
    assert [machine.name for machine in load(tmp_path).machines] == ["client", "web"]


HEAD = "apiVersion: labkit/v1\nkind: Lab\nname: lab\ntitle: A lab\n"
OVERRIDES = (DOCS / "reference/overrides.md").read_text()
SECTIONS = [section for section in OVERRIDES.split("\n## ")[1:] if "```yaml" in section]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.partition("\n")[0])
def test_each_override_that_is_shown_is_merged_and_needs_just_the_rules_that_it_names(
    tmp_path: Path, section: str
) -> None:
    (tmp_path / "lab.yaml").write_text(HEAD + blocks(section)[0])
    template = load(tmp_path)
    named = re.search(r"`overrides: \[([^\]]+)\]`", section)
    assert named
    rules = tuple(re.split(r",\s+", named[1]))
    access = {machine.name: MachineAccess({}, "key", "host", "secret", "key", "host") for machine in template.machines}
    objects = lab_objects(LabPlan("i", "a123456789", template, access))
    made = {body["metadata"]["name"]: body for body in objects if body["kind"] in ("Pod", "VirtualMachine")}
    for machine in template.machines:
        assert covers(made[machine.name]["spec"].get("template", made[machine.name])["spec"], machine.overrides)
    assert refused(template, objects, rules) == []
    for rule in rules:
        assert refused(template, objects, tuple(other for other in rules if other != rule)) != []


def refused(template: Template, objects: list[Object], rules: tuple[str, ...]) -> list[str]:
    return refusals(replace(Policy(), images=("*",), overrides=rules), template, objects, bundled=())


def covers(whole: object, part: object) -> bool:
    """Whether all that `part` sets stands in `whole`."""
    if isinstance(part, dict):
        assert isinstance(whole, dict)
        return all(covers(whole[key], value) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return all(any(item.items() <= other.items() or covers(other, item) for other in whole) for item in part)
    return whole == part
