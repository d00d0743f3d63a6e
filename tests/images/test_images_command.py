"""`labkit images`, as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from labkit import images
from labkit.cli import main


@pytest.fixture
def labkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("LABKIT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LABKIT_CACHE_DIR", str(tmp_path / "cache"))
    return CliRunner()


@pytest.fixture
def disk(tmp_path: Path) -> str:
    (tmp_path / "disk.raw").write_bytes(bytes(510) + b"\x55\xaa" + bytes(1 << 20))
    return str(tmp_path / "disk.raw")


def run(labkit: CliRunner, *words: str) -> Result:
    return labkit.invoke(main, ["images", *words])


def test_help_names_every_image_and_every_step(labkit: CliRunner) -> None:
    text = run(labkit, "--help").output
    assert [name for name in images.names() if f"\n    {name} " not in text] == []
    for word in ("image.yaml", "build", "import", "export", "push", "remove", "try", "docs/how-to/build-an-image.md"):
        assert word in text


def test_an_image_is_taken_in_listed_shown_written_and_deleted(labkit: CliRunner, disk: str, tmp_path: Path) -> None:
    assert "Image mine (vm) is here: " in run(labkit, "import", disk, "mine", "--no-try").stdout
    assert run(labkit, "list").stdout.splitlines()[1].split()[:2] == ["mine", "vm"]
    (shown,) = json.loads(run(labkit, "show", "mine", "--json").stdout)
    assert (shown["kind"], shown["used_by"]) == ("vm", [])
    assert "used_by:  no lab" in run(labkit, "show", "mine").stdout
    assert run(labkit, "export", "mine", str(tmp_path / "out.qcow2"), "--format", "qcow2").exit_code == 0
    assert (tmp_path / "out.qcow2").stat().st_size == shown["size"]
    assert "are free again" in run(labkit, "remove", "mine").stdout
    assert run(labkit, "list").stdout == "No images. Build one: labkit images build tiny\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("build", "huge"), 'Error: There is no image named "huge"'),
        (("show", "mine"), "Error: No image named 'mine' is here: see 'labkit images list'."),
        (("remove", "mine"), 'Error: No image named "mine" is here'),
        (("try", "mine"), "Error: No image named 'mine' is here"),
        (("push", "mine", "localhost:1"), "Error: No image named 'mine' is here"),
        (("import", "/nowhere", "mine"), "Error: /nowhere cannot be read: No such file or directory."),
        (("import", "/nowhere", "mine", "--size", "20GB"), "Error: '20GB' is no size; write for example --size 20Gi"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_status_1(
    labkit: CliRunner, words: tuple[str, ...], sentence: str
) -> None:
    done = run(labkit, *words)
    assert done.exit_code == 1
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
