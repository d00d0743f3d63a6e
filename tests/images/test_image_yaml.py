"""image.yaml: what it may say, and how its faults are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from labkit import images
from labkit.images import bake, bootstrap, image_yaml

SCHEMA = json.loads((Path(image_yaml.__file__).parent / "image.schema.json").read_text())
GOOD = "name: mine\nkind: vm\nbase: debian/forky\n"


def write(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "image.yaml").write_text(text)
    return folder / "image.yaml"


def faults(path: Path) -> list[str]:
    with pytest.raises(images.DefinitionInvalid) as refused:
        image_yaml.load(path)
    return [line.removeprefix(f"{path}:") for line in str(refused.value).splitlines()]


def test_all_faults_are_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    text = "name: Mine\nkind: vn\nbase: debian/etch\npakages: [nginx]\nsize: 8GB\nfiles: [{path: motd}]\n"
    assert faults(write(tmp_path, text)) == [
        "1: name: 'Mine' is no name of an image",
        "2: kind: 'vn' is unknown; known: vm, container",
        "3: base: 'debian/etch' is unknown; known: debian/bookworm, debian/trixie, debian/forky",
        "4: unknown key 'pakages'; did you mean 'packages'?",
        "5: size: '8GB' is no size; write for example 8Gi",
        "6: file 'motd': path: 'motd' is no absolute path",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD + "ports: [80]\n", "4: ports: is a container's; a VM runs services"),
        ("name: c\nkind: container\nbase: nothing\nservices: [{name: ssh}]\n", "4: services: a container runs one"),
        ("name: c\nkind: vm\nbase: nothing\n", "3: base: a VM needs a Debian suite or another image"),
        ("name: c\nkind: vm\nbase: web\n", "3: base: 'web' is a container, this is a vm"),
        ("name: c\nkind: container\nbase: wob\n", "3: base: no definition is called 'wob'; known: base-desktop"),
        ("name: c\nkind: vm\nbase: .\n", "3: base: is based on itself"),
        (GOOD + "files: [{path: /etc/motd, source: nowhere}]\n", "4: file '/etc/motd': source: there is no "),
        (GOOD + "packages: [a1, a1]\n", "4: packages: 'a1' stands here again"),
    ],
)
def test_what_does_not_go_together_is_named(tmp_path: Path, text: str, fault: str) -> None:
    (told,) = faults(write(tmp_path, text))
    assert told.startswith(fault)


@pytest.mark.parametrize("name", image_yaml.bundled())
def test_what_labkit_brings_along_has_no_fault_and_keeps_to_the_schema(name: str) -> None:
    path = image_yaml.find(name)
    assert path is not None
    assert image_yaml.load(path).name == name
    Draft202012Validator(SCHEMA).validate(YAML(typ="safe").load(path))


def test_the_schema_knows_the_keys_that_are_read() -> None:
    rows = image_yaml.rows(Path())
    assert set(SCHEMA["properties"]) == {row.key for row in rows}
    assert set(SCHEMA["required"]) == {row.key for row in rows if row.required}
    Draft202012Validator.check_schema(SCHEMA)


def test_an_image_on_an_image_has_its_packages_first_and_its_own_last(tmp_path: Path) -> None:
    write(tmp_path / "low", GOOD + "packages: [curl]\nsize: 9Gi\ncommands: ['true']\n")
    made = image_yaml.load(write(tmp_path / "top", "name: top\nkind: vm\nbase: ../low\npackages: [git]\n"))
    assert (made.suite, made.packages, made.commands, made.size) == ("forky", ("curl", "git"), ("true",), 9 << 30)


def test_whatever_changes_an_image_changes_its_digest(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "files: [{path: /srv, source: files}]\n")
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a").write_text("one")
    first = image_yaml.load(path).sources_digest()
    assert image_yaml.load(path).sources_digest() == first
    (tmp_path / "files/a").write_text("two")
    assert image_yaml.load(path).sources_digest() != first


def test_a_vm_gets_a_kernel_unless_it_names_one(tmp_path: Path) -> None:
    made = image_yaml.load(write(tmp_path, GOOD))
    assert "linux-image-cloud-amd64" in bootstrap.wanted(made)
    made = image_yaml.load(write(tmp_path, GOOD + "packages: [linux-image-amd64]\n"))
    assert "linux-image-cloud-amd64" not in bootstrap.wanted(made)


def test_a_disk_is_changed_by_user_data_that_tiny_reads_too(tmp_path: Path) -> None:
    text = (
        "name: top\nkind: vm\nbase: tiny\nusers: [{name: ada, sudo: true}]\nfiles: [{path: /etc/motd, content: hi}]\n"
    )
    head, body = bake.user_data(image_yaml.load(write(tmp_path, text))).split("\n", 1)
    data = json.loads(body)
    assert head == "#cloud-config"
    assert (
        data["write_files"][0] | {"path": "/etc/motd", "content": "aGk=", "encoding": "b64"} == data["write_files"][0]
    )
    assert data["users"][0]["sudo"] == "ALL=(ALL) NOPASSWD:ALL"


def test_a_lock_that_lacks_a_package_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write(tmp_path, "name: c\nkind: container\nbase: nothing\npackages: [busybox, jq]\n")
    (tmp_path / "lock.json").write_text((Path(image_yaml.__file__).parent / "web/lock.json").read_text())
    with pytest.raises(images.LockInvalid, match=r"holds no jq: refresh it with 'labkit images build --update-lock "):
        images.build(str(path), images_dir=tmp_path / "images", cache_dir=tmp_path / "cache")
