"""A template's folder becomes plain values."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from labkit.documents import Wrong
from labkit.errors import NotFound
from labkit.model import Pane, PaneType
from labkit.templates import (
    BESIDE,
    CATALOGUE,
    Conduct,
    Image,
    Lifetime,
    Machine,
    Network,
    Script,
    Template,
    User,
    Variable,
    available,
    bundled_image,
    digest,
    find,
    load,
    media_file,
    scalars,
    values,
)

FULL = """\
apiVersion: labkit/v1
kind: Lab
name: full
title: Everything
description: |
  Two machines.
duration: 1h30m
tags: [network, beginner]
machines:
  - name: client
    type: vm
    image: {bundled: tiny}
    cpu: 2
    memory: 0.5Gi
    users: [{name: student, password: {generate: true}}, {name: ada, password: {value: "1234"}}]
    panes: [terminal, {name: serial, type: console, title: Serial line}, {name: other, type: terminal, port: 7000}]
  - {name: web, type: vm, image: {bundled: tiny}, memory: 268435456, panes: [vnc]}
network: {egress: none}
lifetime: {max: 4h}
variables: {flag: {value: no}}
"""
SMALL = """\
apiVersion: labkit/v1
kind: Lab
name: small
title: Small
machines: [{name: box, type: vm, image: {bundled: tiny}, memory: 256Mi}]
"""
TINY = Image("bundled", "tiny")


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "lab.yaml").write_text(text)
    return folder


def test_every_key_of_a_lab_yaml_arrives_as_a_value(tmp_path: Path) -> None:
    folder = write(tmp_path / "full", FULL)
    (folder / "checks/fetch").mkdir(parents=True)
    (folder / "checks/fetch/check-web").write_text("#!/bin/sh\n")
    panes = (
        Pane("terminal", PaneType.TERMINAL, "Terminal", 7681),
        Pane("serial", PaneType.CONSOLE, "Serial line"),
        Pane("other", PaneType.TERMINAL, "Terminal", 7000),
    )
    client = Machine("client", "vm", TINY, 2, 512 << 20, (User("student", True), User("ada", False, "1234")), panes)
    web = Machine("web", "vm", TINY, 1, 256 << 20, (), (Pane("vnc", PaneType.VNC, "Screen"),))
    assert load(folder) == Template(
        name="full",
        title="Everything",
        description="Two machines.",
        duration_minutes=90,
        tags=("network", "beginner"),
        machines=(client, web),
        network=Network("none"),
        lifetime=Lifetime(4 * 3600),
        variables={"flag": Variable("no")},
        folder=folder,
        digest=digest(folder),
        checks={"fetch": (Script("fetch", "web", "#!/bin/sh\n"),)},
    )


def test_what_is_left_out_has_a_careful_default(tmp_path: Path) -> None:
    template = load(write(tmp_path / "small", SMALL))
    assert template.machines == (Machine("box", "vm", TINY, 1, 256 << 20),)
    assert (template.network, template.lifetime, template.duration_minutes) == (Network("none"), Lifetime(), None)
    assert (template.variables, template.checks, template.tags) == ({}, {}, ())


def test_a_machine_is_found_by_name_or_the_nearest_is_named(tmp_path: Path) -> None:
    template = load(write(tmp_path / "small", SMALL))
    assert template.machine("box").name == "box"
    with pytest.raises(NotFound, match=r"template 'small' has no machine 'bux'; did you mean 'box'\?"):
        template.machine("bux")


def test_the_variables_of_a_lab_are_the_declared_ones_the_learner_and_the_lab(tmp_path: Path) -> None:
    template = load(write(tmp_path / "full", FULL))
    assert values(template, learner="Ada", lab="a1", seed="s") == {
        "flag": "no",
        "learner": "Ada",
        "lab": "a1",
        "address_client": "(not known yet)",
        "address_web": "(not known yet)",
    }


def test_the_digest_names_the_content_and_nothing_else(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", SMALL), write(tmp_path / "two", SMALL)
    (one / ".git").mkdir()
    (one / ".git/HEAD").write_text("x")
    assert digest(one) == digest(two)
    (two / "media").mkdir()
    assert digest(one) == digest(two)
    (two / "media/x").write_text("")
    assert digest(one) != digest(two)


@pytest.mark.parametrize("files", [{"ab": "c"}, {"a": "bc"}, {"abc": ""}, {"a": "b", "c": ""}, {"a": "", "b": "c"}])
def test_folders_of_the_same_letters_have_different_digests(tmp_path: Path, files: dict[str, str]) -> None:
    for folder, content in ((tmp_path / "one", files), (tmp_path / "two", {"": "", "a": "", "bc": ""})):
        folder.mkdir()
        for name, text in content.items():
            if name:
                (folder / name).write_text(text)
    assert digest(tmp_path / "one") != digest(tmp_path / "two")


def test_a_template_is_looked_for_as_a_path_then_with_the_operator_then_among_the_bundled(tmp_path: Path) -> None:
    own = tmp_path / "templates"
    bundled = find("hello-lab", own)
    shutil.copytree(bundled, own / "hello-lab")
    path = write(tmp_path / "path", SMALL)
    assert find("hello-lab", own) == own / "hello-lab"
    assert find(str(path), own) == path
    sources = {row.name: row.source for row in available(own)}
    assert (sources["hello-lab"], sources["two-machines"]) == ("own", "bundled")
    assert ("hello-lab", "bundled") in [(row.name, row.source) for row in available(tmp_path / "none")]


@pytest.mark.parametrize("name", ["helo-lab", "../hello-lab", "hello-lab/../hello-lab", "/etc", "", "."])
def test_what_came_over_the_network_finds_templates_by_name_only(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound, match="there is no template"):
        find(name, tmp_path, paths=False)


def test_a_broken_template_is_listed_with_its_problem(tmp_path: Path) -> None:
    write(tmp_path / "broken", "title: x\n")
    (row,) = [row for row in available(tmp_path) if row.name == "broken"]
    assert row.problem == "4 faults: run 'labkit lint broken'"


def test_media_files_are_those_below_the_media_folder_and_no_others(tmp_path: Path) -> None:
    folder = write(tmp_path / "lab", SMALL)
    (folder / "media").mkdir()
    (folder / "media/x.svg").write_text("<svg/>")
    (folder / "media/link").symlink_to("/etc/passwd")
    assert media_file(folder, "media/x.svg") == folder / "media/x.svg"
    for path in ("lab.yaml", "media/../lab.yaml", "media", "media/y", "/etc/passwd", "media/link", "media/x.svg\0"):
        with pytest.raises(NotFound):
            media_file(folder, path)


def test_a_bundled_image_offers_a_terminal() -> None:
    assert bundled_image("tiny").ports == {"terminal": 7681, "ssh": 22}
    assert len({image.name for image in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize(
    ("text", "size"),
    [("256Mi", 256 << 20), ("1.5Gi", 3 << 29), ("1G", 10**9), ("2000M", 2 * 10**9), ("1048576", 1 << 20)],
)
def test_memory_is_a_kubernetes_quantity(text: str, size: int) -> None:
    assert scalars.memory(text) == size


@pytest.mark.parametrize("text", ["", "1", "-1Gi", "1gb", "1 Gi", "1e9", "9999999Ti", "1Kib", "٣Gi", "9" * 5000])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(Wrong):
        scalars.memory(text)


@pytest.mark.parametrize(
    ("text", "length"), [("45m", 2700), ("4h", 14400), ("1h30m", 5400), ("90s", 90), ("30m", 1800)]
)
def test_a_time_is_hours_minutes_and_seconds(text: str, length: int) -> None:
    assert scalars.seconds(text) == length


@pytest.mark.parametrize("text", ["", "m", "0h", "-1h", "1.5h", "30m1h", "9999h", "1d", "h1"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Wrong):
        scalars.seconds(text)


def test_a_steps_scripts_are_told_apart_and_run_as_lab_yaml_says(tmp_path: Path) -> None:
    folder = write(tmp_path / "small", f"{SMALL}checks: {{fetch: {{user: student, timeout: 90s}}}}\n")
    (folder / "checks/fetch").mkdir(parents=True)
    for name in ("check-box", "check.py", "setup-box", "solve-box", "cleanup-box"):
        (folder / "checks/fetch" / name).write_text("#!/bin/sh\n")
    found = load(folder)
    script, outside = (Script("fetch", machine, "#!/bin/sh\n", Conduct("student", 90)) for machine in ("box", BESIDE))
    assert found.checks == {"fetch": (script, outside)}
    assert (found.setups, found.solutions, found.cleanups) == ((script,), (script,), (script,))
