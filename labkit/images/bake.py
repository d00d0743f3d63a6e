"""An image on top of a disk (tiny, a cloud image): the disk is booted once, with user data that changes it.

Its packages come from wherever the guest's own apt takes them: there is no lock, and they need the network.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labkit.images import bootstrap, qcow2, store, trial
from labkit.images.definition import MIB, Definition
from labkit.images.errors import BootFailed, DiskRefused
from labkit.images.store import BuiltImage
from labkit.images.tools import require, run

DONE = "labkit: the image is changed"
FAILED = "labkit: a command of the image failed"
SUDO = "ALL=(ALL) NOPASSWD:ALL"
NETWORK = ("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=")


def build(
    made: Definition, base: BuiltImage, images_dir: Path, boot: trial.Boot, progress: Callable[[str], None]
) -> BuiltImage:
    """Make an image of another's disk unless it is there already. Raises ImageError."""
    inputs = hashlib.sha256(f"{made.sources_digest()} on {base.digest}".encode()).hexdigest()
    with store.exclusive(made.name, images_dir, progress) as work:
        built = store.find(made.name, images_dir)
        if built and store.inputs_of(made.name, images_dir) == inputs:
            return built
        require(("qemu-system-x86_64", "qemu-img", "mkfs.vfat", "mcopy"))
        disk, result = work / "changing.qcow2", work / store.DISK
        progress(f"copying the disk of {base.name}")
        run(["qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", base.disk, disk])
        resize(disk, made.size, made.name)
        progress("booting it with the changes; this takes as long as they take in the machine")
        _change(disk, _seed(user_data(made), work), boot, made.name)
        progress("writing the disk")
        run(["qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", "-c", disk, result])
        return store.publish(made.name, images_dir, result, inputs=inputs)


def resize(disk: Path, size: int, called: str) -> None:
    """Make a disk larger; 0 leaves it. Raises DiskRefused for less than it holds."""
    now = qcow2.virtual_size(disk)
    if size and size < now:
        raise DiskRefused(f"{called} cannot be made smaller: its disk has {now // MIB} MiB.")
    if size > now:
        run(["qemu-img", "resize", "-q", "-f", "qcow2", disk, str(size)])


def user_data(made: Definition) -> str:
    """The changes as user data: JSON, which cloud-init reads as well as tiny."""
    modes = {file.path: file.mode for file in made.files}
    owners = {file.path: file.owner for file in made.files}
    files = [
        {
            "path": path if path.startswith("/") else f"/{path}",
            "content": base64.b64encode(content).decode(),
            "encoding": "b64",
            "permissions": f"{bootstrap.mode_of(content, modes.get(path)):04o}",
            "owner": owners.get(path, "root:root"),
        }
        for path, content in bootstrap.own_files(made)
    ]
    ending = f"""
        code=$?; if [ $code = 0 ]; then echo "{DONE}"; else echo "{FAILED} ($code)"; fi > /dev/ttyS0
        sync; if [ -d /run/systemd/system ]; then poweroff; else poweroff -f; fi
    """
    enable = [f"systemctl enable {shlex.quote(service.name)}" for service in made.services]
    tidy = "rm -rf /etc/ssh/ssh_host_* /etc/dropbear; : > /etc/machine-id"
    data: dict[str, Any] = {
        "write_files": files,
        "runcmd": ["set -e", f"trap {shlex.quote(ending)} EXIT", *enable, *made.commands, tidy, "exit 0"],
    }
    if made.users:
        data["users"] = [
            {
                "name": user.name,
                "shell": user.shell,
                "groups": ",".join(user.groups),
                "lock_passwd": user.password is None,
                **({"plain_text_passwd": user.password} if user.password else {}),
                **({"sudo": SUDO} if user.sudo else {}),
            }
            for user in made.users
        ]
    if made.packages:
        data |= {"package_update": True, "packages": list(made.packages)}
    return f"#cloud-config\n{json.dumps(data)}\n"


def _seed(text: str, work: Path) -> Path:
    """A NoCloud seed: a FAT disk with the label that cloud-init looks for."""
    image = work / "seed.img"
    (work / "user-data").write_text(text)
    (work / "meta-data").write_text("instance-id: labkit-build\n")
    with image.open("wb") as file:
        file.truncate(4 * MIB + 2 * len(text))
    run(["mkfs.vfat", "-n", "CIDATA", image])
    run(["mcopy", "-i", image, work / "user-data", work / "meta-data", "::"])
    return image


def _change(disk: Path, seed: Path, boot: trial.Boot, called: str) -> None:
    drive = f"file={trial.escaped(seed)},format=raw,if=none,id=seed,readonly=on"
    said = trial.until_off(disk, boot, called, ["-drive", drive, "-device", "virtio-blk-pci,drive=seed", *NETWORK])
    if DONE not in said:
        words = [line for line in said.splitlines() if FAILED in line or "not supported" in line]
        reason = words[-1].strip() if words else "the machine ended before that"
        raise BootFailed(f"{called} was not changed: {reason}.")
