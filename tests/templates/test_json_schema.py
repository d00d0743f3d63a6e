"""The JSON Schema for editors: it takes what labkit takes, and knows each key's meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from markdown_it.utils import read_fixture_file
from ruamel.yaml import YAML

from labkit.templates import available, json_schema

SCHEMA = Draft202012Validator(json_schema())
REFERENCE = (Path(__file__).parents[2] / "docs/reference/lab-yaml.md").read_text()
CASES = Path(__file__).parent / "cases"
BEYOND_A_SCHEMA = {
    *("Names that lead nowhere", "Machines that wait for one another", "A key twice", "Nothing", "No YAML"),
    *("A value that starts with braces", "A value that starts with braces, with more behind it"),
    "What does not fit a type",
}


def read(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("row", available(Path("/nonexistent")), ids=lambda row: row.name)
def test_it_takes_every_bundled_lab(row: Any) -> None:
    assert [error.message for error in SCHEMA.iter_errors(read((row.folder / "lab.yaml").read_text()))] == []


def test_it_takes_the_lab_of_the_reference() -> None:
    lab = REFERENCE.partition("```yaml\n")[2].partition("```")[0]
    assert [error.message for error in SCHEMA.iter_errors(read(lab))] == []


def cases() -> list[Any]:
    rows = read_fixture_file(CASES / "faults.md")
    return [pytest.param(text, id=title) for _, title, text, _ in rows if title not in BEYOND_A_SCHEMA]


@pytest.mark.parametrize("text", cases())
def test_it_finds_a_fault_in_every_faulty_lab_but_those_about_references(text: str) -> None:
    assert not SCHEMA.is_valid(read(text))


def test_it_tells_what_each_key_means() -> None:
    properties = json_schema()["properties"]
    assert properties["title"]["description"] == "one line, at most 120 characters"
    for machine in properties["machines"]["items"]["oneOf"]:
        assert [key for key, row in machine["properties"].items() if not row.get("description")] == []
