"""The template store: adding, replacing, removing; what comes from outside is taken with care."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import pytest

from labkit.errors import Conflict, Invalid, LabkitError, NotFound
from labkit.library import StepChanges, add, fetched, keep, prune, remove, version
from labkit.templates import available, find, load

LAB = """\
apiVersion: labkit/v1
kind: Lab
name: {name}
title: A lab
machines: [{{name: box, type: vm, image: {{bundled: tiny}}, memory: 256Mi}}]
"""
PAGE = "# Page\n\n## One {#one points=1}\n\nText.\n\n## Two {#two}\n"


def write(folder: Path, name: str = "lab", page: str = PAGE) -> Path:
    (folder / "instructions").mkdir(parents=True, exist_ok=True)
    (folder / "lab.yaml").write_text(LAB.format(name=name))
    (folder / "instructions/1.md").write_text(page)
    return folder


def test_an_added_template_is_found_by_its_name_wherever_it_lay(tmp_path: Path) -> None:
    added = add(write(tmp_path / "elsewhere"), tmp_path / "own")
    assert (added.name, added.steps) == ("lab", None)
    shutil.rmtree(tmp_path / "elsewhere")
    assert load(find("lab", tmp_path / "own")).digest == added.digest
    assert ("lab", "own") in [(row.name, row.source) for row in available(tmp_path / "own")]


def test_adding_the_same_again_changes_nothing(tmp_path: Path) -> None:
    first = add(write(tmp_path / "lab"), tmp_path / "own")
    again = add(tmp_path / "lab", tmp_path / "own")
    assert (again.digest, again.steps) == (first.digest, StepChanges())


def test_replacing_wants_to_be_said_and_lists_the_steps_added_removed_and_changed(tmp_path: Path) -> None:
    own, page = tmp_path / "own", PAGE.replace("points=1", "points=2").replace("two", "three")
    add(write(tmp_path / "lab"), own)
    with pytest.raises(Conflict, match="steps added three; removed two; changed one"):
        add(write(tmp_path / "lab", page=page), own)
    assert add(tmp_path / "lab", own, replace=True).steps == StepChanges(("three",), ("two",), ("one",))


def test_a_new_check_changes_its_step(tmp_path: Path) -> None:
    add(write(tmp_path / "lab"), tmp_path / "own")
    (tmp_path / "lab/checks/two").mkdir(parents=True)
    (tmp_path / "lab/checks/two/check-box").write_text("#!/bin/sh\n")
    assert add(tmp_path / "lab", tmp_path / "own", replace=True).steps == StepChanges(changed=("two",))


def test_a_version_stays_as_it_was_when_its_template_is_replaced_and_removed(tmp_path: Path) -> None:
    own = tmp_path / "own"
    first = add(write(tmp_path / "lab"), own).digest
    add(write(tmp_path / "lab", page="# Other\n"), own, replace=True)
    remove("lab", own, labs=())
    kept = version(own, first)
    assert kept is not None
    assert load(kept).digest == first


def test_a_folder_put_there_by_hand_is_a_template_too_and_not_lost_when_replaced(tmp_path: Path) -> None:
    own = tmp_path / "own"
    write(own / "lab", page="# By hand\n")
    kept = keep(load(own / "lab"), own)
    assert (kept / "instructions/1.md").read_text() == "# By hand\n"
    add(write(tmp_path / "lab"), own, replace=True)
    assert len(list((own / ".versions").glob(".lab-*/instructions/1.md"))) == 1


def test_a_template_with_faults_is_not_added_and_all_are_told(tmp_path: Path) -> None:
    write(tmp_path / "lab", page="## Step {#Bad}\n{{ nobody }}\n")
    with pytest.raises(Invalid) as caught:
        add(tmp_path / "lab", tmp_path / "own")
    assert len(caught.value.faults) >= 2
    assert not (tmp_path / "own").exists()


def test_a_template_in_use_is_not_removed_and_its_labs_are_named(tmp_path: Path) -> None:
    add(write(tmp_path / "lab"), tmp_path / "own")
    with pytest.raises(Conflict, match="in use by lab a1, b2; stop what runs first"):
        remove("lab", tmp_path / "own", labs={"b2", "a1"})
    remove("lab", tmp_path / "own", labs=())
    with pytest.raises(NotFound, match="there is no template 'lab' of yours"):
        remove("lab", tmp_path / "own", labs=())
    with pytest.raises(Conflict, match="comes with labkit"):
        remove("hello-lab", tmp_path / "own", labs=())


def test_versions_that_nobody_means_or_uses_are_cleared_away_once_they_are_old(tmp_path: Path) -> None:
    own = tmp_path / "own"
    digests = [add(write(tmp_path / "lab", page=f"# {n}\n"), own, replace=True).digest for n in range(3)]
    assert prune(own, used=()) == []
    for folder in (own / ".versions").iterdir():
        os.utime(folder, (time.time() - 7200,) * 2)
    assert prune(own, used=digests[:1]) == digests[1:2]
    assert version(own, digests[0]) is not None


# From outside


def zipped(path: Path, entries: Iterable[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in entries:
            out.writestr(name, content)
    return path


def tarred(
    path: Path,
    entries: Iterable[tuple[str, bytes]],
    change: Callable[[tarfile.TarInfo], None] = id,
    mode: Literal["w", "w:gz"] = "w:gz",
) -> Path:
    with tarfile.open(path, mode) as out:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            change(info)
            out.addfile(info, io.BytesIO(content))
    return path


FILES = (("lab-main/lab.yaml", LAB.format(name="lab").encode()), ("lab-main/instructions/1.md", PAGE.encode()))


@pytest.mark.parametrize("make", [zipped, tarred])
def test_an_archive_is_a_folder(tmp_path: Path, make: Callable[..., Path]) -> None:
    with fetched(str(make(tmp_path / "lab.packed", FILES))) as folders:
        assert [add(folder, tmp_path / "own").name for folder in folders] == ["lab"]
    assert not any(folder.exists() for folder in folders)


def test_a_tar_whose_last_file_is_a_zip_is_read_as_the_tar_that_it_is(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", [("other", b"x")]).read_bytes()
    made = tarred(tmp_path / "lab.tar", [*FILES, ("lab-main/inner.zip", inner)], mode="w")
    assert zipfile.is_zipfile(made)
    with fetched(str(made)) as folders:
        assert [add(folder, tmp_path / "own").name for folder in folders] == ["lab"]


def links(info: tarfile.TarInfo) -> None:
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"


def device(info: tarfile.TarInfo) -> None:
    info.type = tarfile.CHRTYPE


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: zipped(path, [("../lab.yaml", b"")]), "no plain file below its folder"),
        (lambda path: zipped(path, [("/tmp/lab.yaml", b"")]), "no plain file below its folder"),
        (lambda path: tarred(path, [("a/../../lab.yaml", b"")]), "no plain file below its folder"),
        (lambda path: tarred(path, [("lab.yaml", b"")], links), "no plain file below its folder"),
        (lambda path: tarred(path, [("lab.yaml", b"")], device), "no plain file below its folder"),
        (lambda path: zipped(path, [("big", b"\0" * (65 << 20))]), "holds more than 67108864 bytes"),
        (lambda path: zipped(path, [(str(n), b"") for n in range(2001)]), "holds more than 2000 files"),
        (lambda path: tarred(path, [("a", b"x"), ("a/b", b"x")]), "cannot be read as a zip or tar archive"),
        (lambda path: path.write_bytes(b"PK nothing") and path, "cannot be read as a zip or tar archive"),
    ],
)
def test_an_archive_that_leads_out_holds_other_things_or_too_much_is_refused(
    tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(Conflict, match=said), fetched(str(make(tmp_path / "archive"))):
        pass
    assert not Path("/tmp/lab.yaml").exists()


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"]
    allowed = ["-c", "protocol.file.allow=always"]
    subprocess.run(["git", *identity, *allowed, "-C", str(folder), *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two labs in a repository; the tag `old` has one of them, with another page."""
    place = tmp_path / "repository"
    write(place / "labs/one", "one", page="# Old\n")
    git(place, "init")
    git(place, "add", ".")
    git(place, "commit", "-m", "x")
    git(place, "tag", "old")
    write(place / "labs/one", "one")
    write(place / "labs/two", "two")
    git(place, "add", ".")
    git(place, "commit", "-m", "y")
    return place


def test_all_labs_of_a_repository_are_found_or_those_of_a_folder_at_a_tag(tmp_path: Path, repository: Path) -> None:
    with fetched(repository.as_uri()) as folders:
        assert [load(folder).name for folder in folders] == ["one", "two"]
    with fetched(repository.as_uri(), ref="old", path="labs/one") as folders:
        assert [(folder / "instructions/1.md").read_text() for folder in folders] == ["# Old\n"]


def test_a_folder_outside_of_what_was_fetched_is_not_found(repository: Path) -> None:
    (repository / "out").symlink_to("/etc")
    (repository / "labs/three").symlink_to(repository / "labs/one")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "z")
    with pytest.raises(NotFound), fetched(repository.as_uri(), path="../.."):
        pass
    with pytest.raises(NotFound), fetched(repository.as_uri(), path="out"):
        pass


def test_submodules_of_a_stranger_are_not_fetched(tmp_path: Path, repository: Path) -> None:
    write(tmp_path / "other/lab", "lab")
    for words in (("init",), ("add", "."), ("commit", "-m", "x")):
        git(tmp_path / "other", *words)
    git(repository, "submodule", "add", (tmp_path / "other").as_uri(), "labs/sub")
    git(repository, "commit", "-am", "z")
    with fetched(repository.as_uri()) as folders:
        assert [folder.name for folder in folders] == ["one", "two"]


@pytest.mark.parametrize(
    "source",
    [
        "ext::sh -c touch% /tmp/x",
        "-u./x",
        "http://example.org/x.git",
        "git://example.org/x",
        "ssh://-oProxyCommand=x/y",
    ],
)
def test_an_address_of_another_kind_is_no_source(source: str) -> None:
    with pytest.raises(NotFound, match="is no folder, no archive and no address of a Git repository"), fetched(source):
        pass


@pytest.mark.parametrize("ref", ["--upload-pack=x", "-x", "a..b", "main:refs/heads/x", "+main", "a b", "@{1}"])
def test_a_ref_is_a_branch_a_tag_or_a_commit_and_never_an_option(repository: Path, ref: str) -> None:
    with pytest.raises(Conflict, match="is no branch, tag or commit"), fetched(repository.as_uri(), ref=ref):
        pass


def test_an_address_with_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(Conflict) as caught, fetched("https://ada:geheim@example.org/x.git"):
        pass
    assert "geheim" not in str(caught.value)


def test_git_says_what_went_wrong_in_one_sentence(repository: Path) -> None:
    with pytest.raises(LabkitError, match="git fetch failed"), fetched(repository.as_uri(), ref="no-such-branch"):
        pass
