"""What is wrong in a template, all at once, each with file and line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from markdown_it.utils import read_fixture_file

from labkit.errors import Fault, Invalid, NotFound
from labkit.linting import lint
from labkit.templates import load

CASES = Path(__file__).parent / "cases"
LAB = """\
apiVersion: labkit/v1
kind: Lab
name: lab
title: A lab
machines: [{name: box, type: vm, image: {bundled: tiny}, memory: 256Mi}]
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def refused(folder: Path) -> list[str]:
    with pytest.raises(Invalid) as caught:
        load(folder)
    return str(caught.value).splitlines()


def test_a_lab_yaml_with_five_faults_gives_five_messages_with_file_and_line() -> None:
    assert refused(CASES / "five-faults") == [
        "lab.yaml:3: name: 'Five_Faults' is no name; "
        "use at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends",
        "lab.yaml:8: machine 'client': bundled: there is no bundled image 'tinny'; did you mean 'tiny'?",
        "lab.yaml:9: machine 'client': unknown key 'memroy'; did you mean 'memory'?",
        "lab.yaml:12: machine 'client': panes: 'consol' is not known; did you mean 'console'?",
        "lab.yaml:13: max: 'forever' is no length of time; write for example 45m, 4h or 1h30m (30 days at most)",
    ]


def cases() -> list[object]:
    rows = read_fixture_file(CASES / "faults.md")
    return [pytest.param(text, expected, id=title) for _, title, text, expected in rows]


@pytest.mark.parametrize(("text", "expected"), cases())
def test_a_lab_yaml_has_the_faults_that_its_case_names_and_no_others(tmp_path: Path, text: str, expected: str) -> None:
    found = refused(write(tmp_path, {"lab.yaml": text}))
    assert [line.removeprefix("lab.yaml:") for line in found] == expected.splitlines()


def test_lab_yaml_checks_and_instructions_are_judged_together() -> None:
    found = [str(fault) for fault in lint(CASES / "broken-lab")]
    assert found == (CASES / "broken-lab.txt").read_text().splitlines()


def test_faults_are_values_that_programs_can_sort_and_show() -> None:
    assert lint(CASES / "broken-lab")[0] == Fault(
        "checks/fetsh", 0, "no page has a step 'fetsh'; did you mean 'fetch'?"
    )


def test_a_folder_without_a_lab_yaml_is_no_template(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"holds no template: there is no lab\.yaml in it"):
        load(tmp_path)


def test_a_template_is_found_by_its_folder_so_the_names_must_agree(tmp_path: Path) -> None:
    pages = {"instructions/1.md": "# Page\n"}
    folder = write(tmp_path / "other", {"lab.yaml": LAB, **pages})
    assert [str(fault) for fault in lint(folder)] == [
        "lab.yaml: name: 'lab' is not the folder's name 'other'; make them the same"
    ]
    assert lint(write(tmp_path / "lab", {"lab.yaml": LAB, **pages})) == ()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("checks/a/check-bax", "#!/bin/sh", "checks/a/check-bax: there is no machine 'bax'; did you mean 'box'?"),
        ("checks/a/check-box", "exit 0", "checks/a/check-box:1: does not say what runs it; begin with a line such as"),
        ("checks/a/check.py", "import lab\nif", "checks/a/check.py:2: is no Python: "),
        ("checks/a/cleanup-bax", "#!/bin/sh", "checks/a/cleanup-bax: there is no machine 'bax'; did you mean 'box'?"),
        ("checks/a/chekc-box", "", "checks/a/chekc-box: 'chekc-box' is not known here; did you mean 'check-box'?"),
        ("checks/check-box", "", "checks/check-box: stands outside of a step's folder; put it into checks/STEP/"),
    ],
)
def test_a_file_in_the_checks_folder_that_is_no_check_is_named(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    found, *_ = reversed(refused(write(tmp_path, {"lab.yaml": LAB, name: text})))
    assert found.startswith(message)


def test_a_script_that_is_no_text_and_a_step_without_a_check_are_named(tmp_path: Path) -> None:
    write(tmp_path, {"lab.yaml": LAB, "checks/a/check-box": "", "checks/b/.keep": ""})
    (tmp_path / "checks/a/check-box").write_bytes(b"#!/bin/sh\n\xff")
    assert refused(tmp_path) == [
        "checks/a/check-box: is not UTF-8 text",
        "checks/b: holds no check; add check-MACHINE or check.py, or remove the folder",
    ]


def test_a_symbolic_link_is_refused_since_it_may_lead_out_of_the_template(tmp_path: Path) -> None:
    write(tmp_path / "lab", {"lab.yaml": LAB, "media/.keep": ""})
    os.symlink("/etc/passwd", tmp_path / "lab/media/x.svg")
    assert refused(tmp_path / "lab") == ["media/x.svg: is a symbolic link; a template holds plain files only"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"title: \xff", "lab.yaml: is not UTF-8 text"),
        (b"#" * (1 << 20) + b"#", "lab.yaml: has more than 1048576 bytes"),
        (b"[" * 100000, "lab.yaml:1: not valid YAML: it is nested too deeply"),
        (b"a: &a [x, *a]", "lab.yaml:1: not valid YAML: its aliases stand for too much"),
        (b"a: *b", "lab.yaml:1: not valid YAML: found undefined alias 'b'"),
        (
            b"a0: &a0 [x]\n"
            + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 9)),
            "lab.yaml:6: not valid YAML: its aliases stand for too much",
        ),
        (b"title: \x07", "lab.yaml:1: not valid YAML: "),
    ],
)
def test_a_lab_yaml_that_cannot_be_read_is_one_fault(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "lab.yaml").write_bytes(content)
    (found,) = refused(tmp_path)
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("checks: {b: {user: student}}", "checks: there is no folder checks/b; known: a"),
        ("checks: {a: {timeout: 11m}}", "check of step 'a': timeout: may be at most 10m: a learner waits for it"),
        ("checks: {a: {user: A b}}", "check of step 'a': user: 'A b' is no user name; use a-z, 0-9, '_' and '-'"),
    ],
)
def test_how_checks_are_run_is_said_of_checks_that_there_are(tmp_path: Path, more: str, message: str) -> None:
    (found,) = refused(write(tmp_path, {"lab.yaml": f"{LAB}{more}\n", "checks/a/check-box": "#!/bin/sh\n"}))
    line = len(LAB.splitlines()) + 1
    assert found.startswith(f"lab.yaml:{line}: {message}")
