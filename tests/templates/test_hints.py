"""What works and hurts all the same is told as a hint, with its line; a lab without it gets none."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.linting import hints, lint
from labkit.templates import Available, available

HEAD = "apiVersion: labkit/v1\nkind: Lab\nname: lab\ntitle: A lab\nduration: 5m\nlifetime: {max: 1h}\n"
BOX = "{name: box, type: vm, image: {bundled: tiny}, memory: 256Mi}"
PAGE = "# Page\n\n## One {#one points=1}\n"


def hinted(folder: Path, text: str, page: str = PAGE, **files: str) -> list[str]:
    lab = folder / "lab"
    for name, content in {"lab.yaml": text, "instructions/1.md": page, **files}.items():
        (lab / name).parent.mkdir(parents=True, exist_ok=True)
        (lab / name).write_text(content)
    assert lint(lab) == ()
    return [str(hint) for hint in hints(lab)]


@pytest.mark.parametrize("row", available(Path("/nonexistent")), ids=lambda row: row.name)
def test_bundled_labs_have_no_hints(row: Available) -> None:
    assert hints(row.folder) == ()


@pytest.mark.parametrize(
    ("machines", "hint"),
    [
        ("{name: a, type: vm, image: {registry: quay.io/l/a}, memory: 1Gi}", "may become another image"),
        ("{name: a, type: vm, image: {registry: 'quay.io:80/l/a:latest'}, memory: 1Gi}", "may become another image"),
        ("{name: a, type: vm, image: {url: 'https://x.org/a', size: 1Gi}, memory: 1Gi}", "has no sha256"),
        ("{name: a, type: vm, image: {bundled: tiny}, memory: 5Gi}", "machines: take 5120Mi of memory in all"),
        (f"{BOX[:-1]}, users: [{{name: u, password: {{value: x}}}}]}}", "password: is the same in all labs"),
    ],
)
def test_what_a_machine_has_that_hurts_is_told_at_its_line(tmp_path: Path, machines: str, hint: str) -> None:
    (found,) = hinted(tmp_path, f"{HEAD}machines:\n  - {machines}\n")
    assert found.startswith("lab.yaml:8: ")
    assert hint in found


def test_an_image_that_is_pinned_gets_no_hint(tmp_path: Path) -> None:
    digest = "@sha256:" + "a" * 64
    machines = "".join(
        f"  - {{name: m{n}, type: vm, image: {{registry: 'quay.io/l/a{end}'}}, memory: 1Gi}}\n"
        for n, end in enumerate((":1", digest))
    )
    assert hinted(tmp_path, f"{HEAD}machines:\n{machines}") == []


def test_what_is_declared_and_not_used_is_told(tmp_path: Path) -> None:
    text = (
        f"{HEAD}machines: [{BOX}]\nvariables: {{used: {{value: x}}, free: {{value: x}}}}\n"
        "volumes: [{name: data, size: 1Gi}]\nsecrets: {keys: {a: b}}\n"
    )
    assert hinted(tmp_path, text, page="# {{ used }}\n") == [
        "lab.yaml:8: variable 'free': is used nowhere",
        "lab.yaml:9: volume 'data': no machine uses it",
        "lab.yaml:10: secrets: no machine uses 'keys'",
    ]


def test_a_variable_that_many_learners_share_and_a_lab_without_an_end_are_told(tmp_path: Path) -> None:
    text = HEAD.replace("lifetime: {max: 1h}\n", "").replace("duration: 5m\n", "")
    found = hinted(tmp_path, f"{text}machines: [{BOX}]\nvariables: {{a: {{from: '[ab]{{2}}'}}}}\n", page="# {{ a }}\n")
    assert [line.partition(": ")[2] for line in found] == [
        "duration: is not said; learners like to know how long it takes",
        "lifetime: there is no 'max', so a forgotten lab runs until somebody stops it; write for example 4h",
        "variable 'a': has 4 values only, so that many learners share one",
    ]


def test_a_check_without_points_or_a_solve_script_is_told(tmp_path: Path) -> None:
    page = PAGE + "\n## Two {#two}\n"
    assert hinted(tmp_path, f"{HEAD}machines: [{BOX}]\n", page, **{"checks/two/check-box": "#!/bin/sh\n"}) == [
        "lab.yaml: checks/two: the step has a check and no points, while others have some",
        "lab.yaml:3: checks/two: has no solve- script, with which the check could be tried out",
    ]
