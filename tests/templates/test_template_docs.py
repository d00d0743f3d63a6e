"""What exists is documented, and what the documents show works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.documents import Row
from labkit.instructions.attributes import ALLOWED
from labkit.instructions.blocks import alert, disclosure
from labkit.instructions.front import FRONT
from labkit.linting import lint
from labkit.templates import CATALOGUE, disk_keys, keys, machine_keys

DOCS = Path(__file__).parents[2] / "docs"
LAB_YAML = (DOCS / "reference/lab-yaml.md").read_text()
INSTRUCTIONS = (DOCS / "reference/instructions.md").read_text()
TABLES = {
    name: getattr(module, name)
    for module in (keys, machine_keys, disk_keys)
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
    lab, page, check, _ = blocks((DOCS / "how-to/write-a-lab.md").read_text())
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
