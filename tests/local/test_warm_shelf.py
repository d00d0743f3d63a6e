"""Templates of warm starts: what they are known by, how many stay, and which go."""

from __future__ import annotations

import copy
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from labkit.local.api.kinds import Admission
from labkit.local.kubevirt.admission import admit_vmi
from labkit.local.warm import keys
from labkit.local.warm.shelf import Limits, Shelf, Template, measure
from labkit.local.warm.wanted import MOST_SETS, TooMuch, Wanted
from tests.support.engine import machine

DISK, HOST = Path("/images/tiny/1/disk.qcow2"), ["QEMU 7.2"]


def vmi(name: str = "web", **domain: Any) -> dict[str, Any]:
    """A machine as the engine stores it."""
    spec = copy.deepcopy(machine(name, "lab")["spec"]["template"]["spec"])
    spec["domain"] |= domain
    metadata = {"name": name, "namespace": "lab", "uid": f"uid-of-{name}"}
    found = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": metadata, "spec": spec}
    admit_vmi(Admission(found, None, lambda *_: None))
    return found


def key(found: dict[str, Any], acceleration: str = "tcg", disk: Path = DISK, host: list[str] = HOST) -> str:
    return keys.key(found, acceleration, [disk], host)


def test_machines_that_differ_in_what_is_their_own_share_a_template() -> None:
    other = vmi("db")
    other["spec"]["domain"]["devices"]["interfaces"][0]["macAddress"] = "02:00:00:00:00:77"
    assert key(other) == key(vmi())


@pytest.mark.parametrize(
    "other",
    [
        key(vmi(memory={"guest": "512Mi"})),
        key(vmi(cpu={"cores": 2})),
        key(vmi(), acceleration="kvm"),
        key(vmi(), disk=Path("/images/tiny/2/disk.qcow2")),
        key(vmi(), host=["QEMU 8.0"]),
    ],
    ids=["memory", "processors", "acceleration", "build of the image", "version of QEMU"],
)
def test_a_template_is_another_when_what_it_depends_on_changes(other: str) -> None:
    assert other != key(vmi())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"volumes": [{"name": "root", "persistentVolumeClaim": {"claimName": "x"}}]}, "outlives it"),
        ({"volumes": [{"name": "seed", "cloudInitNoCloud": {"userData": "x"}}]}, "no disk from an image"),
        ({"volumes": [{"name": "seed", "cloudInitNoCloud": {"networkData": "x"}}]}, "no disk from an image"),
        ({"startStrategy": "Paused"}, "start paused"),
    ],
)
def test_what_cannot_be_woken_as_another_machine_boots(change: dict[str, Any], why: str) -> None:
    found = vmi()
    found["spec"] |= change
    assert why in keys.unfit(found)
    assert keys.unfit(vmi()) == ""


def test_a_seed_too_large_for_a_templates_disk_does_not_fit() -> None:
    assert keys.fits({"user-data": b"x" * 1000})
    assert not keys.fits({"user-data": b"x" * 600_000})


def put(shelf: Shelf, folder: Path, name: str, size: int = 1000) -> Template:
    """A template of a few bytes."""
    made = folder / f"made-{name}"
    made.mkdir()
    for file in ("memory", "state"):
        (made / file).write_bytes(b"x")
    files = measure(made, ["memory", "state"])
    template = Template(name, ["tiny"], 256, time.time(), 5.0, size, files)
    shelf.add(template, made)
    return template


def shelf_in(folder: Path, **limits: int) -> Shelf:
    shelf = Shelf(folder / "warm", Limits(**limits))
    shelf.open()
    return shelf


def test_of_too_many_templates_the_one_used_longest_ago_goes(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path, templates=2)
    first, _ = put(shelf, tmp_path, "first"), put(shelf, tmp_path, "second")
    shelf.hit(first)
    put(shelf, tmp_path, "third")
    assert {template.key for template in shelf.all()} == {"third", "first"}
    assert {folder.name for folder in (tmp_path / "warm").iterdir()} == {"third", "first"}


def test_templates_that_take_too_much_room_go_but_never_the_newest(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path, bytes=1500)
    put(shelf, tmp_path, "first")
    put(shelf, tmp_path, "second", size=9000)
    assert [template.key for template in shelf.all()] == ["second"]


def test_templates_and_their_figures_outlive_the_engine(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path)
    shelf.hit(put(shelf, tmp_path, "first"))
    found = shelf_in(tmp_path).find("first")
    assert found
    assert (found.hits, found.memory_file.read_bytes()) == (1, b"x")


def test_a_template_whose_making_was_cut_short_is_removed(tmp_path: Path) -> None:
    unfinished = tmp_path / "warm" / "half"
    unfinished.mkdir(parents=True)
    (unfinished / "memory").write_bytes(b"x")
    assert shelf_in(tmp_path).all() == []
    assert not unfinished.exists()


def test_a_template_whose_description_is_damaged_is_removed(tmp_path: Path) -> None:
    put(shelf_in(tmp_path), tmp_path, "first")
    (tmp_path / "warm" / "first" / "about.json").write_text(json.dumps({"key": "first"}))
    assert shelf_in(tmp_path).find("first") is None


@pytest.mark.parametrize("damage", [b"xx", b"y"], ids=["size", "time of change"])
def test_a_template_whose_files_have_changed_is_dropped(tmp_path: Path, damage: bytes) -> None:
    shelf = shelf_in(tmp_path)
    memory = put(shelf, tmp_path, "first").memory_file
    memory.write_bytes(damage)
    os.utime(memory, ns=(1, 1))
    assert shelf.find("first") is None
    assert not memory.exists()


def test_a_template_is_dropped_after_two_failures_in_a_row(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path)
    template = put(shelf, tmp_path, "first")
    shelf.failed(template)
    shelf.hit(template)
    shelf.failed(template)
    assert shelf.find("first") is template
    shelf.failed(template)
    assert shelf.find("first") is None


def test_sets_kept_by_hand_are_known_again_without_anybodys_passwords(tmp_path: Path) -> None:
    found = vmi(firmware={"uuid": "x"})
    found["spec"]["volumes"][1]["cloudInitNoCloud"] = {"userData": "#cloud-config secret"}
    wanted, again = Wanted(tmp_path / "spares.json"), Wanted(tmp_path / "spares.json")
    assert (wanted.put("class", [found], 2), wanted.put("class", [found], 2)) == (True, False)
    again.open()
    assert (again.sets["class"][1], key(again.sets["class"][0][0])) == (2, key(found))
    assert "secret" not in (tmp_path / "spares.json").read_text()


def test_no_more_than_so_many_sets_are_kept_by_hand_and_an_ended_one_makes_room(tmp_path: Path) -> None:
    wanted = Wanted(tmp_path / "spares.json")
    for number in range(MOST_SETS):
        wanted.put(f"set-{number}", [vmi()], 1)
    with pytest.raises(TooMuch, match="--spares 0"):
        wanted.put("one-more", [vmi()], 1)
    assert wanted.put("set-0", [], 0)
    assert wanted.put("one-more", [vmi()], 1)


def test_a_list_of_sets_that_is_damaged_keeps_no_engine_from_starting(tmp_path: Path) -> None:
    (tmp_path / "spares.json").write_text('{"set": 7}')
    wanted = Wanted(tmp_path / "spares.json")
    wanted.open()
    assert wanted.sets == {}
