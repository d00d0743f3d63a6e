"""Bootable disks made by ordinary programs in ordinary files: no root, no loop devices, no mounts."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from labkit.images.tools import as_root, run

SECTOR = 512
MEGABYTE = 1 << 20
MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")
FAT, LINUX = 0x0C, 0x83
SYSLINUX = """\
DEFAULT linux
PROMPT 0
NOESCAPE 1
LABEL linux
    KERNEL /vmlinuz
    INITRD /initrd
    APPEND {command_line}
"""
INIT_APPLETS = ("sh", "mount", "insmod", "findfs", "sleep", "switch_root")


@dataclass(frozen=True)
class Layout:
    """A disk with a FAT boot partition and an ext4 root: sizes in MiB, `epoch` is the time of all files in seconds.

    `label` is that of the root file system, by which the kernel command line finds it.
    """

    label: str
    size: int
    boot_size: int
    uuid: str
    epoch: int
    command_line: str


def initramfs(init: bytes, busybox: bytes, modules: Iterable[bytes]) -> bytes:
    """An initramfs in the kernel's `newc` format: busybox, `init`, and modules to load in the given order."""
    entries: list[tuple[str, int, bytes]] = [
        *((directory, 0o040755, b"") for directory in ("bin", "dev", "proc", "sys", "root", "modules")),
        ("bin/busybox", 0o100755, busybox),
        *((f"bin/{applet}", 0o120777, b"busybox") for applet in INIT_APPLETS),
        ("init", 0o100755, init),
        *((f"modules/{number:02}.ko", 0o100644, content) for number, content in enumerate(modules)),
        ("TRAILER!!!", 0, b""),
    ]
    return b"".join(_cpio_entry(number, *entry) for number, entry in enumerate(entries, 1))


def _cpio_entry(inode: int, name: str, mode: int, content: bytes) -> bytes:
    # inode, mode, uid, gid, links, mtime, size, device (2), special device (2), length of the name, checksum
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + "".join(f"{value:08x}" for value in fields).encode() + name.encode() + b"\0"
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def compressed(initrd: bytes, work: Path) -> Path:
    """The initramfs as a file in the work folder, compressed the way the kernel unpacks fastest."""
    (work / "initrd.cpio").write_bytes(initrd)
    run(["lz4", "-l", "-9", "-f", work / "initrd.cpio", work / "initrd"])
    return work / "initrd"


def boot_partition(layout: Layout, kernel: Path, initrd: Path, work: Path) -> Path:
    """A FAT file system with syslinux, kernel (`vmlinuz`) and initramfs (`initrd`)."""
    (work / "syslinux.cfg").write_text(SYSLINUX.format(command_line=layout.command_line))
    image = work / "boot.fat"
    with image.open("wb") as file:
        file.truncate(layout.boot_size * MEGABYTE)
    env = {"SOURCE_DATE_EPOCH": str(layout.epoch)}
    run(["mkfs.vfat", "--invariant", "-n", "BOOT", image], env=env)
    run(["mcopy", "-i", image, kernel, initrd, work / "syslinux.cfg", "::"], env=env)
    run(["syslinux", "--install", image], env=env)
    return image


def debian_root(layout: Layout, archive: Path, work: Path) -> Path:
    """An ext4 file system with the files of a tar file, owners and all."""
    image, folder = work / "root.ext4", work / "root"
    size = (layout.size - layout.boot_size - 1) * MEGABYTE
    options = f"lazy_itable_init=0,lazy_journal_init=0,hash_seed={layout.uuid}"
    # In one go, because in a user namespace the folder is nobody's outside of it. The kernel is in the boot partition.
    script = """
        trap 'rm -rf "$1"' EXIT
        mkdir "$1"
        tar -xpf "$2" -C "$1" --numeric-owner
        rm -f "$1"/boot/vmlinuz-* "$1"/boot/initrd.img-* "$1"/usr/lib/modules/*/vmlinuz
        mke2fs -q -F -t ext4 -L "$4" -U "$5" -m 1 -E "$6" -d "$1" "$3" "$7"
    """
    values = (folder, archive, image, layout.label, layout.uuid, options, f"{size // 1024}k")
    run(as_root(["sh", "-ec", script, "sh", *values]), env={"E2FSPROGS_FAKE_TIME": str(layout.epoch)})
    return image


def root_partition(layout: Layout, folder: Path, work: Path) -> Path:
    """An ext4 file system with the files of a folder, all owned by root."""
    image = work / "root.ext4"
    stamp = str(layout.epoch)
    size = (layout.size - layout.boot_size - 1) * MEGABYTE
    features = "^metadata_csum,^64bit,^resize_inode,^orphan_file"
    options = f"lazy_itable_init=0,lazy_journal_init=0,hash_seed={layout.uuid},root_owner=0:0"
    # fmt: off
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", layout.label, "-U", layout.uuid, "-m", "0", "-J", "size=4",
         "-i", "32768", "-O", features, "-E", options, "-d", folder, image, f"{size // 1024}k"],
        env={"E2FSPROGS_FAKE_TIME": stamp, "SOURCE_DATE_EPOCH": stamp})
    # fmt: on
    # mke2fs copies owner and change time of whoever builds; debugfs puts both right without being root.
    paths = ["/lost+found", *(f"/{path.relative_to(folder)}" for path in folder.rglob("*"))]
    values = {"uid": "0", "gid": "0", "atime": f"@{stamp}", "ctime": f"@{stamp}", "crtime": f"@{stamp}"}
    commands = [f'set_inode_field "{path}" {name} {value}' for path in sorted(paths) for name, value in values.items()]
    run(["debugfs", "-w", "-f", "-", image], stdin="\n".join(commands) + "\n", env={"E2FSPROGS_FAKE_TIME": stamp})
    return image


def disk(layout: Layout, boot: Path, root: Path, target: Path) -> Path:
    """Put both partitions behind a boot record, as a compressed qcow2."""
    raw = target.with_suffix(".raw")
    starts = [MEGABYTE, MEGABYTE + boot.stat().st_size]
    with raw.open("wb") as file:
        file.write(_boot_record(layout, [(FAT, starts[0], boot), (LINUX, starts[1], root)]))
        file.truncate(layout.size * MEGABYTE)
    for start, part in zip(starts, (boot, root), strict=True):
        _copy_sparse(part, raw, start)
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, target])
    raw.unlink()
    return target


def _boot_record(layout: Layout, partitions: list[tuple[int, int, Path]]) -> bytes:
    signature = bytes.fromhex(layout.uuid[:8])
    table = b""
    for number, (kind, start, path) in enumerate(partitions):
        active = 0x80 if number == 0 else 0
        nowhere = b"\xfe\xff\xff"  # cylinder, head and sector, which nothing has used for decades
        table += bytes([active]) + nowhere + bytes([kind]) + nowhere
        table += struct.pack("<II", start // SECTOR, path.stat().st_size // SECTOR)
    return MBR.read_bytes()[:440].ljust(440, b"\0") + signature + b"\0\0" + table.ljust(64, b"\0") + b"\x55\xaa"


def _copy_sparse(source: Path, target: Path, offset: int) -> None:
    empty = bytes(MEGABYTE)
    with source.open("rb") as reader, target.open("r+b") as writer:
        writer.seek(offset)
        while block := reader.read(MEGABYTE):
            if block == empty:
                writer.seek(len(block), 1)
            else:
                writer.write(block)


def clean(work: Path) -> None:
    """Delete a folder of unfinished work if it is there."""
    shutil.rmtree(work, ignore_errors=True)
    if work.exists():  # files of a killed build that belong to the users of its namespace
        run(as_root(["rm", "-rf", work]))
