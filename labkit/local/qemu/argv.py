"""QEMU's command line, as a function of plain values. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from labkit.local.paths import MachinePaths

BINARY = "qemu-system-x86_64"
MACHINE_TYPE = "pc-q35-7.2"
"""The oldest machine that QEMU 7.2 and everything after it has, so that a guest's hardware does not move."""

_FIRST_DISK_SLOT = 0x08
_RAM = "pc.ram"
"""The memory's name in a saved state: QEMU's own, so that what began as a clone can go on as any other machine."""
_AGENT_CHANNEL = "org.qemu.guest_agent.0"
_WAKE_CHANNEL = "labkit.wake"


@dataclass(frozen=True)
class Disk:
    """One disk: ``format`` is qcow2 or raw, ``bus`` virtio or sata, ``boot`` its place in the order (from 1) or 0.

    A ``lasting`` one outlives the machine: its flushes are honoured, and it is locked.
    """

    name: str
    file: Path
    format: str
    bus: str
    read_only: bool = False
    cdrom: bool = False
    serial: str = ""
    boot: int = 0
    lasting: bool = False


@dataclass(frozen=True)
class Nic:
    """The machine's interface: QEMU gets the tap as an open file; without one the machine is alone, at ``address``."""

    mac: str
    tap_fd: int | None
    model: str = "virtio"
    boot: int = 0
    address: str = ""


@dataclass(frozen=True)
class MemoryFile:
    """The file that is the guest's memory (``shared``, a template's), or that it begins as (a clone)."""

    file: Path
    shared: bool


@dataclass(frozen=True)
class MachineConfig:
    """All that a command line depends on. ``memory`` is in MiB."""

    name: str
    uuid: str
    paths: MachinePaths
    acceleration: str
    memory: int
    sockets: int = 1
    cores: int = 1
    threads: int = 1
    disks: tuple[Disk, ...] = ()
    nic: Nic | None = None
    graphics: bool = True
    serial: bool = True
    rng: bool = False
    acpi: bool = True
    tablets: tuple[str, ...] = ()
    paused: bool = False
    firmware_serial: str = ""
    memory_file: MemoryFile | None = None
    asleep: bool = False
    """It stays still until it was handed a state to go on from."""


def arguments(config: MachineConfig) -> list[str]:
    """The whole command line. Every PCI device has a fixed address: adding one moves no other."""
    return [
        BINARY,
        *_board(config),
        *_channels(config),
        *_display(config),
        *(["-device", "virtio-rng-pci,id=rng0,bus=pcie.0,addr=0x4"] if config.rng else []),
        *_inputs(config),
        *[part for n, disk in enumerate(config.disks) for part in _disk(n, disk)],
        *(_network(config.nic) if config.nic else ["-nic", "none"]),
        *(["-S"] if config.paused or config.asleep else []),
        *(["-incoming", "defer"] if config.asleep else []),
        *(_memory(config.memory_file, config.memory) if config.memory_file else []),
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    ]


def _board(config: MachineConfig) -> list[str]:
    tcg = config.acceleration == "tcg"
    topology = f"sockets={config.sockets},cores={config.cores},threads={config.threads}"
    smbios = ["-smbios", f"type=1,serial={_escaped(config.firmware_serial)}"] if config.firmware_serial else []
    return [
        "-name", f"guest={_escaped(config.name)}",
        "-nodefaults",
        "-no-user-config",
        "-machine",
        MACHINE_TYPE + ("" if config.acpi else ",acpi=off") + (f",memory-backend={_RAM}" if config.memory_file else ""),
        # TCG's buffer of translated code would otherwise take a quarter of the guest's memory again.
        "-accel", "tcg,thread=multi,tb-size=64" if tcg else "kvm",
        "-cpu", "qemu64" if tcg else "host",
        "-smp", f"{config.sockets * config.cores * config.threads},{topology}",
        "-m", f"{config.memory}M",
        "-uuid", config.uuid,
        *smbios,
        "-rtc", "base=utc",
        # A guest that powers off leaves its QEMU standing, so that an engine that was away can tell that from a crash.
        "-action", "shutdown=pause",
        "-chardev", f"socket,id=qmp,path={config.paths.qmp},server=on,wait=off",
        "-mon", "chardev=qmp,mode=control",
    ]  # fmt: skip


def _memory(source: MemoryFile, size: int) -> list[str]:
    share = "on" if source.shared else "off"
    return ["-object", f"memory-backend-file,id={_RAM},size={size}M,mem-path={source.file},share={share}"]


def _channels(config: MachineConfig) -> list[str]:
    serial = [
        "-chardev", f"socket,id=serial0,path={config.paths.serial},server=on,wait=off",
        "-serial", "chardev:serial0",
    ]  # fmt: skip
    agent = [
        "-device", "virtio-serial-pci,id=channels,bus=pcie.0,addr=0x3",
        "-chardev", f"socket,id=agent0,path={config.paths.agent},server=on,wait=off",
        "-device", f"virtserialport,bus=channels.0,nr=1,chardev=agent0,name={_AGENT_CHANNEL},id=agent",
        "-chardev", f"socket,id=wake0,path={config.paths.wake},server=on,wait=off",
        "-device", f"virtserialport,bus=channels.0,nr=2,chardev=wake0,name={_WAKE_CHANNEL},id=wake",
    ]  # fmt: skip
    return [*(serial if config.serial else []), *agent]


def _display(config: MachineConfig) -> list[str]:
    if not config.graphics:
        return ["-display", "none"]
    return ["-display", "none", "-vnc", f"unix:{config.paths.vnc}", "-device", "VGA,id=video0,bus=pcie.0,addr=0x1"]


def _inputs(config: MachineConfig) -> list[str]:
    usb = ["-device", "qemu-xhci,id=usb,bus=pcie.0,addr=0x5"] if "usb" in config.tablets else []
    for n, bus in enumerate(config.tablets):
        slot = f",bus=pcie.0,addr={0x6 + n:#x}" if bus == "virtio" else ",bus=usb.0"
        usb += ["-device", ("virtio-tablet-pci" if bus == "virtio" else "usb-tablet") + f",id=input{n}{slot}"]
    return usb


def _disk(number: int, disk: Disk) -> list[str]:
    node = f"disk{number}"
    # Most disks die with their machine: what the host's cache loses in a power cut is lost anyway.
    layers: dict[str, Any] = {
        "driver": disk.format,
        "node-name": node,
        "read-only": disk.read_only,
        "cache": {"direct": False, "no-flush": not (disk.read_only or disk.lasting)},
        "file": {"driver": "file", "filename": str(disk.file), "locking": "auto" if disk.lasting else "off"},
    }
    if not disk.read_only:
        layers["discard"] = "unmap"
    if disk.bus == "virtio":
        device = f"virtio-blk-pci,drive={node},id=dev-{disk.name},bus=pcie.0,addr={_FIRST_DISK_SLOT + number:#x}"
    else:
        # The board's own SATA controller has six ports.
        device = f"{'ide-cd' if disk.cdrom else 'ide-hd'},drive={node},id=dev-{disk.name},bus=ide.{number}"
    device += f",serial={disk.serial}" if disk.serial else ""
    device += f",bootindex={disk.boot}" if disk.boot else ""
    return ["-blockdev", json.dumps(layers, separators=(",", ":")), "-device", device]


def _network(nic: Nic) -> list[str]:
    model = "virtio-net-pci" if nic.model == "virtio" else nic.model
    # No boot from the network, so no ROM for it either.
    device = f"{model},netdev=net0,id=nic0,mac={nic.mac},bus=pcie.0,addr=0x2,romfile="
    device += f",bootindex={nic.boot}" if nic.boot else ""
    backend = _closed(nic.address) if nic.tap_fd is None else f"tap,id=net0,fd={nic.tap_fd}"
    return ["-netdev", backend, "-device", device]


def _closed(address: str) -> str:
    """QEMU's own network, which passes nothing on."""
    net = IPv4Interface(f"{address}/24").network
    return f"user,id=net0,restrict=on,ipv6=off,net={net},host={net[1]},dhcpstart={address}"


def _escaped(text: str) -> str:
    return text.replace(",", ",,")
