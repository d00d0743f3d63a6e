"""Trying a lab out from the command line: what is wrong with which check, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.home import Home, new_home

LAB = """\
apiVersion: labkit/v1
kind: Lab
name: tried
title: Tried
machines: [{name: box, type: vm, image: {bundled: tiny}, memory: 256Mi, panes: [console]}]
"""
STEPS = {
    "good": {"check": "test -e /tmp/good", "solve": "touch /tmp/good"},
    "open": {"check": "exit 0", "solve": "exit 0"},
    "shut": {"check": "echo never; exit 1", "solve": "exit 0"},
    "hard": {"check": "exit 1", "solve": "echo cannot >&2; exit 3"},
    "alone": {"check": "exit 1"},
}
FAULTS = {
    "good": "",
    "open": "passes before anything was done",
    "shut": "does not pass once it is solved: never",
    "hard": "cannot be solved: solve of lab LAB: a script of step 'hard' failed in machine box: cannot",
    "alone": "has no solve- script, so that nobody knows whether it can be passed",
}


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """A home with the lab above, tried out: `report.json` and `report.xml` are what came of it."""
    found = new_home()
    folder = found.folder / "tried"
    files = {
        f"checks/{step}/{part}-box": f"#!/bin/sh\n{text}\n" for step in STEPS for part, text in STEPS[step].items()
    }
    files |= {"lab.yaml": LAB, "instructions/1.md": "# P\n" + "".join(f"## {step} {{#{step}}}\n" for step in STEPS)}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    done = found.labkit("test", str(folder), "--json", "--junit", str(found.folder / "report.xml"))
    assert (done.returncode, "Error" in done.stderr) == (1, False), done.stderr
    (found.folder / "report.json").write_text(done.stdout)
    yield found
    found.end()


def said(home: Home) -> list[dict]:
    return json.loads((home.folder / "report.json").read_text())["steps"]


def test_each_step_is_tried_before_and_after_its_solution_in_the_order_of_the_pages(home: Home) -> None:
    lab = home.json("list", "--all")[0]["id"]
    assert {each["step"]: each["fault"].replace(lab, "LAB") for each in said(home)} == FAULTS
    assert [each["step"] for each in said(home)] == list(STEPS)


def test_the_lab_has_ended_and_nothing_of_it_is_left(home: Home) -> None:
    assert home.json("list") == []
    assert home.leftovers() == []


def test_the_report_for_programs_has_a_case_for_each_step(home: Home) -> None:
    suite = ElementTree.parse(home.folder / "report.xml").getroot()  # noqa: S314 - our own
    assert (suite.get("tests"), suite.get("failures")) == ("5", "4")
    faults = [failure.get("message", "") for failure in suite.iter("failure")]
    assert faults == [each["fault"] for each in said(home) if each["fault"]]


def test_results_are_exported_without_names_and_those_of_ones_own_labkit_are_not_believed(home: Home) -> None:
    target = home.folder / "results.jsonl"
    assert "results are in" in home.labkit("results", "export", "-o", str(target)).stdout
    records = [json.loads(line) for line in target.read_text().splitlines()]
    assert {record["step"] for record in records} == set(STEPS)
    assert not any(record["attested"] or record["signature"] for record in records)
    done = home.labkit("results", "verify", str(target))
    assert done.returncode == 1
    assert "results.jsonl:1: is not signed" in done.stdout
    assert f"0 of {len(records)} records are good" in done.stdout


def test_a_lab_that_cannot_start_is_told_with_its_own_reason(home: Home) -> None:
    done = home.labkit("test", "two-machines")
    assert (done.returncode, "labkit images build web" in done.stderr) == (1, True), done.stderr


def test_what_is_no_json_is_told_apart(home: Home) -> None:
    (home.folder / "junk").write_text("{\n")
    done = home.labkit("results", "verify", str(home.folder / "junk"))
    assert (done.returncode, "this is no JSON" in done.stderr) == (1, True)


@pytest.mark.parametrize("name", ["hello-lab", "broken-service"])
def test_the_bundled_labs_can_be_solved_and_not_without_solving(home: Home, name: str) -> None:
    all_is_good(home, name)


def test_so_can_the_one_with_a_container(with_web: Path) -> None:
    home = new_home(image=False)
    home.settings.images_dir.symlink_to(with_web)
    try:
        all_is_good(home, "two-machines")
    finally:
        home.end()


def all_is_good(home: Home, name: str) -> None:
    """Every step of the lab fails before its solution, and passes after."""
    tried = home.json("test", name)
    print(name, tried)
    assert tried["steps"]
    assert [step for step in tried["steps"] if step["fault"]] == []
