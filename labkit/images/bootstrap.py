"""From a definition and its packages to a root file system, as a tar file: mmdebstrap on the locked packages alone.

The packages lie in a repository of their own in the work folder, so what is installed is what the lock says, and a
build whose packages are in the cache needs no network. No root is needed: where we are not root, we are in a user
namespace of our own.
"""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path

from labkit.images import debian, elf
from labkit.images.definition import MIB, Definition, contents
from labkit.images.errors import RecipeBroken
from labkit.images.lock import Lock
from labkit.images.tools import as_root, run

EPOCH = 1767225600  # every time stamp that we decide: 2026-01-01
STEPS = "labkit-steps"
MERGE = 'for name in bin sbin lib lib64; do [ -e "$1/$name" ] || ln -s usr/$name "$1/$name"; done'
UNITS = "etc/systemd/system"
# What every VM gets. The initramfs holds what finds the root file system and no more: it loads in a third of the time.
MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "ahci", "ext4")
BEFORE_PACKAGES = {
    "etc/initramfs-tools/conf.d/labkit": "MODULES=list\nCOMPRESS=lz4\nRESUME=none\n",
    "usr/share/initramfs-tools/modules.d/labkit": "\n".join(MODULES) + "\n",
    "etc/kernel-img.conf": "do_symlinks = no\n",
}
# What would be this machine's, or every machine's the same. (Of resolv.conf a link is meant to stay.)
TIDY = (
    "[ -L /etc/resolv.conf ] || rm -f /etc/resolv.conf; : > /etc/hostname",
    'echo "$NAME" > /etc/hostname; rm -f /etc/ssh/ssh_host_*; : > /etc/machine-id',
    "touch /etc/.updated /var/.updated",  # else the first boot does again what the packages' installation did
)
READY_UNIT = """\
[Unit]
Description=Say on the serial console and the screen that the machine is ready
DefaultDependencies=no
After=multi-user.target graphical.target cloud-final.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for screen in ttyS0 tty1; do echo "labkit: {name} is ready" > /dev/$screen; done; true'

[Install]
WantedBy=multi-user.target
"""
SERVICE_UNIT = """\
[Unit]
Description={name}
After=network.target cloud-init.service cloud-init-network.service

[Service]
ExecStart={command}
User={user}
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""


def wanted(made: Definition) -> tuple[str, ...]:
    """The packages to ask for: those of the definition, and what a VM cannot do without."""
    if made.kind == "container":
        return made.packages
    kernel = () if any(name.startswith("linux-image-") for name in made.packages) else ("linux-image-cloud-amd64",)
    return (*kernel, "initramfs-tools", "lz4", "systemd-sysv", "udev", "kmod", "mount", *made.packages)


def bootstrap(made: Definition, lock: Lock, packages: dict[str, Path], work: Path) -> Path:
    """Make `root.tar` in the work folder from packages by name. Raises ToolFailed."""
    repository = work / "repository"
    _write_repository(made.suite, lock, packages, repository)
    _write_tar(work / "before.tar", {path: text.encode() for path, text in BEFORE_PACKAGES.items()}.items())
    _write_tar(work / "files.tar", _files(made), modes={file.path: file.mode for file in made.files})
    target = work / "root.tar"
    run(as_root(_command(made, repository, target)), env={"SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": str(work)})
    shutil.rmtree(repository)
    with tarfile.open(target, "a") as archive:  # the folder alone: its devices come with the machine
        entry = tarfile.TarInfo("./dev")
        entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, EPOCH
        archive.addfile(entry)
    return target


def _command(made: Definition, repository: Path, target: Path) -> list[str | Path]:
    work = target.parent
    options = [
        "--mode=root",  # ours, or that of our user namespace
        f"--variant={'extract' if made.from_nothing else 'apt'}",
        "--architectures=amd64",
        f"--include={','.join(wanted(made))}",
        '--aptopt=APT::Sandbox::User "root"',
        "--dpkgopt=force-unsafe-io",  # a build that is cut off is thrown away anyway
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in made.exclude),
    ]
    if made.kind == "vm":
        options.append(f"--essential-hook=tar-in {shlex.quote(str(work / 'before.tar'))} /")
    # Where packages are only unpacked there is no later moment, no shell by that name, and none of Debian's links.
    moment, shell = ("extract", "/usr/bin/busybox sh") if made.from_nothing else ("customize", "/bin/sh")
    if made.from_nothing:
        options += [f"--extract-hook={MERGE}", '--extract-hook=: > "$1/etc/apt/sources.list"']
    else:
        options.append(f"--customize-hook={_own_sources(made.suite)}")
    options += [
        f"--{moment}-hook=tar-in {shlex.quote(str(work / 'files.tar'))} /",
        f'--{moment}-hook=chroot "$1" {shell} -e /{STEPS} && rm "$1/{STEPS}"',
        "--skip=output/dev",
    ]
    return ["mmdebstrap", *options, made.suite, target, f"deb [trusted=yes] copy:{repository} ./"]


def _own_sources(suite: str) -> str:
    """The image's apt uses the mirror that this machine uses; who signs for it is known there, too."""
    stanza = (
        f"Types: deb\\nURIs: {debian.public_mirror()}\\nSuites: {suite}\\nComponents: main\\n"
        f"Signed-By: {debian.KEYRING}\\n"
    )
    return (
        'rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap; '
        'sed -i /force-unsafe-io/d "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap; '
        f'printf {shlex.quote(stanza)} > "$1/etc/apt/sources.list.d/debian.sources"'
    )


def _write_repository(suite: str, lock: Lock, packages: dict[str, Path], folder: Path) -> None:
    """A Debian repository of exactly these packages; whether they are the right ones was checked when they came."""
    folder.mkdir()
    stanzas = []
    for package in lock.packages:
        file = packages[package.name]
        try:
            os.link(file, folder / file.name)
        except OSError:  # another file system
            shutil.copyfile(file, folder / file.name)
        control = run(["dpkg-deb", "--field", file]).rstrip("\n")
        stanzas.append(f"{control}\nFilename: ./{file.name}\nSize: {package.size}\nSHA256: {package.sha256}\n")
    index = "\n".join(stanzas).encode()
    (folder / "Packages").write_bytes(index)
    digest = hashlib.sha256(index).hexdigest()
    (folder / "Release").write_text(
        f"Origin: labkit\nSuite: {suite}\nCodename: {suite}\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"
        f"Architectures: amd64 all\nSHA256:\n {digest} {len(index)} Packages\n"
    )


def _files(made: Definition) -> Iterable[tuple[str, bytes]]:
    """All that is put into the image after its packages; a later file wins."""
    if made.kind == "vm":
        yield "etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {made.name}\n::1 localhost ip6-localhost\n".encode()
        yield "etc/fstab", b"LABEL=root / ext4 rw,noatime 0 0\n"
        yield f"{UNITS}/labkit-ready.service", READY_UNIT.format(name=made.name).encode()
    yield from own_files(made)
    yield STEPS, _steps(made).encode()


def own_files(made: Definition) -> Iterable[tuple[str, bytes]]:
    """The files that the definition itself names, and its services' units."""
    for service in made.services:
        if service.command:
            unit = SERVICE_UNIT.format(name=service.name, command=service.command, user=service.user)
            yield f"{UNITS}/{service.name}.service", unit.encode()
    for file in made.files:
        yield from contents(file)


def mode_of(content: bytes, given: int | None) -> int:
    """Permissions of a file: as given, else those of a program or of a text."""
    return given or (0o755 if content.startswith((b"#!", elf.MAGIC)) else 0o644)


def _write_tar(target: Path, files: Iterable[tuple[str, bytes]], modes: dict[str, int | None] | None = None) -> None:
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
        for path, content in files:
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.mode = mode_of(content, (modes or {}).get(path))
            entry.size, entry.mtime = len(content), EPOCH
            archive.addfile(entry, io.BytesIO(content))


def _steps(made: Definition) -> str:
    """The script that is run in the image when its packages and files are there. A failing line ends the build."""
    lines = [f"NAME={made.name}"]
    for user in made.users:
        groups = [*user.groups, *(["sudo"] if user.sudo else [])]
        lines += [f"getent group {group} >/dev/null || groupadd {group}" for group in groups]
        joined = f"-G {','.join(groups)} " if groups else ""
        lines.append(f"useradd -m -s {shlex.quote(user.shell)} {joined}{user.name}")
        if user.password:
            lines.append(f"printf %s {shlex.quote(f'{user.name}:{user.password}')} | chpasswd")
        if user.sudo:
            rule = f"{user.name} ALL=(ALL) NOPASSWD:ALL"
            lines.append(f"mkdir -p /etc/sudoers.d; echo '{rule}' > /etc/sudoers.d/{user.name}")
    for file in made.files:
        if file.owner != "root:root":
            lines.append(f"chown -R {file.owner} {shlex.quote(file.path)}")
    if made.kind == "vm":
        names = ("labkit-ready", *(service.name for service in made.services))
        lines += [f"systemctl enable --quiet {shlex.quote(name)}" for name in names]
    return "\n".join([*lines, *made.commands, *(TIDY if made.kind == "vm" else TIDY[:1])]) + "\n"


def boot_files(root: Path, work: Path) -> tuple[Path, Path]:
    """Take the newest kernel and its initramfs out of `root.tar`. Raises ToolFailed."""
    found: dict[str, Path] = {}
    with tarfile.open(root) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            for start, target in (("boot/vmlinuz-", work / "vmlinuz"), ("boot/initrd.img-", work / "initrd")):
                content = archive.extractfile(member) if name.startswith(start) and not member.issym() else None
                if content:
                    found[start] = target
                    with target.open("wb") as file:
                        shutil.copyfileobj(content, file, MIB)
    if len(found) != 2:
        raise RecipeBroken("The packages hold no kernel with an initramfs: let the definition name none, or one.")
    return work / "vmlinuz", work / "initrd"
