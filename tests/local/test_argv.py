"""QEMU's command line, whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from labkit.local.paths import MachinePaths
from labkit.local.qemu.argv import Disk, MachineConfig, Nic, arguments

PATHS = MachinePaths(Path("/r/m1"), Path("/s/m1"))
CONFIG = MachineConfig(
    name="lab/web",
    uuid="0d5b8b7e-0000-4000-8000-000000000001",
    paths=PATHS,
    acceleration="tcg",
    memory=256,
    disks=(
        Disk("root", Path("/s/m1/root.qcow2"), "qcow2", "virtio", boot=1),
        Disk("seed", Path("/s/m1/seed.iso"), "raw", "virtio", read_only=True, boot=2),
    ),
    nic=Nic("02:97:e9:f6:7c:80", 7),
    rng=True,
)


def test_the_whole_command_line_of_an_ordinary_machine() -> None:
    assert arguments(CONFIG) == [
        "qemu-system-x86_64",
        "-name", "guest=lab/web",
        "-nodefaults",
        "-no-user-config",
        "-machine", "pc-q35-7.2",
        "-accel", "tcg,thread=multi,tb-size=64",
        "-cpu", "qemu64",
        "-smp", "1,sockets=1,cores=1,threads=1",
        "-m", "256M",
        "-uuid", "0d5b8b7e-0000-4000-8000-000000000001",
        "-rtc", "base=utc",
        "-action", "shutdown=pause",
        "-chardev", "socket,id=qmp,path=/r/m1/qmp.sock,server=on,wait=off",
        "-mon", "chardev=qmp,mode=control",
        "-chardev", "socket,id=serial0,path=/r/m1/serial.sock,server=on,wait=off",
        "-serial", "chardev:serial0",
        "-device", "virtio-serial-pci,id=channels,bus=pcie.0,addr=0x3",
        "-chardev", "socket,id=agent0,path=/r/m1/qga.sock,server=on,wait=off",
        "-device", "virtserialport,bus=channels.0,nr=1,chardev=agent0,name=org.qemu.guest_agent.0,id=agent",
        "-chardev", "socket,id=wake0,path=/r/m1/wake.sock,server=on,wait=off",
        "-device", "virtserialport,bus=channels.0,nr=2,chardev=wake0,name=labkit.wake,id=wake",
        "-display", "none",
        "-vnc", "unix:/r/m1/vnc.sock",
        "-device", "VGA,id=video0,bus=pcie.0,addr=0x1",
        "-device", "virtio-rng-pci,id=rng0,bus=pcie.0,addr=0x4",
        "-blockdev",
        '{"driver":"qcow2","node-name":"disk0","read-only":false,"cache":{"direct":false,"no-flush":true},'
        '"file":{"driver":"file","filename":"/s/m1/root.qcow2","locking":"off"},"discard":"unmap"}',
        "-device", "virtio-blk-pci,drive=disk0,id=dev-root,bus=pcie.0,addr=0x8,bootindex=1",
        "-blockdev",
        '{"driver":"raw","node-name":"disk1","read-only":true,"cache":{"direct":false,"no-flush":false},'
        '"file":{"driver":"file","filename":"/s/m1/seed.iso","locking":"off"}}',
        "-device", "virtio-blk-pci,drive=disk1,id=dev-seed,bus=pcie.0,addr=0x9,bootindex=2",
        "-netdev", "tap,id=net0,fd=7",
        "-device", "virtio-net-pci,netdev=net0,id=nic0,mac=02:97:e9:f6:7c:80,bus=pcie.0,addr=0x2,romfile=",
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    ]  # fmt: skip


def test_hardware_virtualisation_brings_the_computers_own_processor() -> None:
    line = arguments(replace(CONFIG, acceleration="kvm"))
    assert [line[line.index(flag) + 1] for flag in ("-accel", "-cpu")] == ["kvm", "host"]


def test_a_machine_without_screen_console_and_network_has_none_of_their_devices() -> None:
    line = " ".join(arguments(replace(CONFIG, graphics=False, serial=False, nic=None)))
    assert not any(word in line for word in ("-vnc", "VGA", "serial0", "-netdev"))
    assert "-nic none" in line


def test_a_cdrom_goes_on_the_sata_port_of_its_place() -> None:
    disk = Disk("cd", Path("/s/m1/cd.iso"), "raw", "sata", read_only=True, cdrom=True)
    assert "ide-cd,drive=disk0,id=dev-cd,bus=ide.0" in arguments(replace(CONFIG, disks=(disk,)))


def test_a_usb_tablet_brings_its_controller() -> None:
    line = arguments(replace(CONFIG, tablets=("usb",)))
    assert "qemu-xhci,id=usb,bus=pcie.0,addr=0x5" in line
    assert "usb-tablet,id=input0,bus=usb.0" in line


def test_a_comma_in_a_name_cannot_become_an_option() -> None:
    assert "guest=lab/a,,b=c" in arguments(replace(CONFIG, name="lab/a,b=c"))
