"""A disk that does not boot is refused; one that does is changed by booting it."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from labkit import images

HALT = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp back


def disk(folder: Path, code: bytes, signature: bytes = b"\x55\xaa") -> Path:
    (folder / "disk.raw").write_bytes(code.ljust(510, b"\0") + signature + bytes(1 << 20))
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", folder / "disk.raw", folder / "disk.qcow2"]
    subprocess.run(command, check=True)
    return folder / "disk.qcow2"


def test_a_disk_without_a_boot_loader_is_refused_with_the_firmwares_words(tmp_path: Path) -> None:
    with pytest.raises(images.BootFailed, match=r"^The image mine does not boot: it says 'Boot failed: not a boot"):
        images.boots(disk(tmp_path, b"", b"\0\0"), images.Boot(seconds=60), "The image mine")


def test_a_disk_that_says_nothing_is_refused_when_the_time_is_over(tmp_path: Path) -> None:
    with pytest.raises(images.BootFailed, match=r"within 5 s that it is up; its last words: .*--no-try takes it"):
        images.boots(disk(tmp_path, HALT), images.Boot(seconds=5), "The image mine")


def test_an_import_that_does_not_boot_leaves_nothing(tmp_path: Path) -> None:
    boot = images.Boot(seconds=5)
    with pytest.raises(images.BootFailed):
        images.take(
            str(disk(tmp_path, HALT)), "mine", images_dir=tmp_path / "images", boot=boot, progress=lambda _: None
        )
    assert images.installed(tmp_path / "images") == []


def test_tiny_boots_and_is_left_as_it_was(built: images.BuiltImage) -> None:
    before = built.disk.stat().st_mtime
    assert images.boots(built.disk, images.Boot(seconds=120), "tiny") == "labkit: tiny is ready"
    assert built.disk.stat().st_mtime == before


def changed(folder: Path, built: images.BuiltImage, commands: str) -> images.BuiltImage:
    (folder / "image.yaml").write_text(
        "name: mine\nkind: vm\nbase: tiny\nsize: 2Gi\n"
        'files: [{path: /etc/issue, content: "A machine of my own\\n"}]\n'
        f"commands: {commands}\n"
    )
    home = built.folder.parent.parent
    boot = images.Boot(seconds=90)
    return images.build(str(folder), images_dir=home, cache_dir=folder / "cache", boot=boot)


@pytest.mark.slow
def test_an_image_on_a_disk_is_that_disk_changed(built: images.BuiltImage, tmp_path: Path) -> None:
    image = changed(tmp_path, built, "[echo hello > /srv/made, chown 33 /srv/made]")
    try:
        with image.disk.open("rb") as file:
            file.seek(24)
            assert struct.unpack(">Q", file.read(8)) == (2 << 30,)
        assert images.boots(image.disk, images.Boot(seconds=120), "mine") == "labkit: tiny is ready"
        assert changed(tmp_path, built, "[echo hello > /srv/made, chown 33 /srv/made]") == image
    finally:
        images.remove("mine", image.folder.parent.parent, tmp_path)


def test_a_command_that_fails_in_the_machine_ends_the_build(built: images.BuiltImage, tmp_path: Path) -> None:
    with pytest.raises(images.BootFailed, match=r"mine was not changed: labkit: a command of the image failed \(1\)"):
        changed(tmp_path, built, "['false']")
