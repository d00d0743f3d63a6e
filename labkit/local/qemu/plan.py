"""From a VirtualMachineInstance to QEMU's configuration and the files it needs. Pure."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from labkit.local.objects import Obj, get_path, name_of, namespace_of, quantity, uid_of
from labkit.local.paths import MachinePaths
from labkit.local.qemu.argv import Disk, MachineConfig, Nic
from labkit.local.storage.uses import use_of

SecretReader = Callable[[str], Mapping[str, str]]
"""A Secret's (base64) data by name; KeyError where there is none."""


class PlanError(Exception):
    """A machine that cannot be configured: one sentence."""


def memory_bytes(vmi: Obj) -> int:
    """The guest's memory."""
    return int(quantity(vmi["spec"]["domain"]["memory"]["guest"]))


def wants_network(vmi: Obj) -> bool:
    """Whether the machine has an interface."""
    return bool(get_path(vmi, "spec.domain.devices.interfaces"))


def wants(vmi: Obj, device: str) -> bool:
    """Whether ``autoattach…`` leaves a device in (the default)."""
    return bool(get_path(vmi, f"spec.domain.devices.{device}", True))


def has_acpi(vmi: Obj) -> bool:
    """Whether the machine has a power button."""
    return get_path(vmi, "spec.domain.features.acpi.enabled") is not False


def volume_file(paths: MachinePaths, volume: Obj) -> Path:
    """The file of a volume under the machine's state folder."""
    suffix = "iso" if "cloudInitNoCloud" in volume else "qcow2"
    return paths.state / f"{volume['name']}.{suffix}"


def seed_files(vmi: Obj, source: Obj, secret: SecretReader) -> dict[str, bytes]:
    """The files of a NoCloud seed. Raises PlanError where a Secret or its key is missing."""
    hostname = get_path(vmi, "spec.hostname") or name_of(vmi).split(".")[0][:63]
    meta = {
        "instance-id": f"{name_of(vmi)}.{namespace_of(vmi)}.{uid_of(vmi)}",
        "local-hostname": hostname,
    }
    files = {"meta-data": json.dumps(meta).encode()}
    user = _content(source, "userData", "userDataBase64", "secretRef", "userdata", secret)
    files["user-data"] = user or b""
    network = _content(source, "networkData", "networkDataBase64", "networkDataSecretRef", "networkdata", secret)
    if network is not None:
        files["network-config"] = network
    return files


def machine_config(
    vmi: Obj,
    paths: MachinePaths,
    acceleration: str,
    tap_fd: int | None,
    default_mac: str,
    claims: Mapping[str, Path] = MappingProxyType({}),
    address: str = "",
) -> MachineConfig:
    """The whole configuration of a defaulted VMI; ``claims`` are the files of claims by name.

    Without a tap its interface is alone in a network of QEMU's, at ``address``.
    """
    domain = vmi["spec"]["domain"]
    devices, cpu = domain["devices"], domain["cpu"]
    interface = next(iter(devices.get("interfaces", [])), None)
    nic = None
    if interface:
        mac = mac_address(vmi, default_mac)
        model, boot = interface.get("model") or "virtio", interface.get("bootOrder", 0)
        nic = Nic(mac=mac, tap_fd=tap_fd, model=model, boot=boot, address=address)
    tablets = [item.get("bus", "usb") for item in devices.get("inputs", [])]
    if devices.get("autoattachInputDevice") and not tablets:
        tablets = ["usb"]
    return MachineConfig(
        name=f"{namespace_of(vmi)}/{name_of(vmi)}",
        uuid=domain["firmware"]["uuid"],
        firmware_serial=domain["firmware"].get("serial", ""),
        paths=paths,
        acceleration=acceleration,
        memory=math.ceil(memory_bytes(vmi) / 2**20),
        sockets=cpu["sockets"],
        cores=cpu["cores"],
        threads=cpu["threads"],
        disks=_disks(vmi, paths, claims),
        nic=nic,
        graphics=wants(vmi, "autoattachGraphicsDevice"),
        serial=wants(vmi, "autoattachSerialConsole"),
        rng="rng" in devices,
        acpi=has_acpi(vmi),
        tablets=tuple(tablets),
        paused=vmi["spec"].get("startStrategy") == "Paused",
    )


def mac_address(vmi: Obj, default: str) -> str:
    """The MAC address of the machine's interface."""
    interfaces = get_path(vmi, "spec.domain.devices.interfaces", [])
    chosen = interfaces[0].get("macAddress", "") if interfaces else ""
    return chosen.replace("-", ":").lower() or default


def _disks(vmi: Obj, paths: MachinePaths, claims: Mapping[str, Path]) -> tuple[Disk, ...]:
    volumes = {volume["name"]: volume for volume in vmi["spec"].get("volumes", [])}
    devices = vmi["spec"]["domain"]["devices"]
    listed = devices["disks"]
    # What has a bootOrder first, by it; without any, all disks in the order of the manifest.
    ordered = any("bootOrder" in device for device in (*listed, *devices.get("interfaces", [])))
    found = []
    for place, disk in enumerate(listed, start=1):
        volume = volumes[disk["name"]]
        seed, use = "cloudInitNoCloud" in volume, use_of(volume)
        lasting = use if use and not use.ephemeral else None
        target = disk.get("cdrom") or disk["disk"]
        found.append(
            Disk(
                name=disk["name"],
                file=claims[lasting.claim] if lasting else volume_file(paths, volume),
                format="raw" if seed else "qcow2",
                bus=target["bus"],
                read_only=seed or "cdrom" in disk or bool(target.get("readonly") or (lasting and lasting.read_only)),
                cdrom="cdrom" in disk,
                serial=disk.get("serial", ""),
                boot=disk.get("bootOrder", 0) if ordered else place,
                lasting=lasting is not None,
            )
        )
    return tuple(found)


def _content(source: Obj, plain: str, coded: str, reference: str, key: str, secret: SecretReader) -> bytes | None:
    if source.get(plain):
        return str(source[plain]).encode()
    if source.get(coded):
        return base64.b64decode(source[coded])
    if not source.get(reference):
        return None
    name = source[reference]["name"]
    try:
        data = secret(name)
    except KeyError as error:
        raise PlanError(f"Secret '{name}' for cloud-init does not exist: create it first") from error
    found = data.get(key, data.get(key.replace("data", "Data")))
    if found is None:
        raise PlanError(f"Secret '{name}' has no key '{key}' for cloud-init")
    return base64.b64decode(found)
