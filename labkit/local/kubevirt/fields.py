"""The fields of a VirtualMachineInstance and a VirtualMachine: those carried out here, and those refused by name."""

from __future__ import annotations

from labkit.local.api.fields import METADATA, Tree, not_built

_QUANTITIES: Tree = {"memory": "quantity", "cpu": "quantity"}
_CPU: Tree = {
    "cores": "integer",
    "sockets": "integer",
    "threads": "integer",
    "model": "string",
    **not_built("dedicatedCpuPlacement", "features", "isolateEmulatorThread", "maxSockets", "numa", "realtime"),
}
_DISK: Tree = {
    "name": "string",
    "disk": {"bus": "string", "readonly": "boolean", **not_built("pciAddress")},
    "cdrom": {"bus": "string", "readonly": "boolean", **not_built("tray")},
    "bootOrder": "integer",
    "serial": "string",
    **not_built(
        "blockSize", "cache", "changedBlockTracking", "dedicatedIOThread", "errorPolicy", "io", "lun",
        "shareable", "tag",
    ),
}  # fmt: skip
_INTERFACE: Tree = {
    "name": "string",
    "bridge": {},
    "macAddress": "string",
    "model": "string",
    **not_built(
        "acpiIndex", "binding", "bootOrder", "dhcpOptions", "macvtap", "masquerade", "passt", "passtBinding",
        "pciAddress", "portRanges", "ports", "slirp", "sriov", "state", "tag",
    ),
}  # fmt: skip
_DEVICES: Tree = {
    "autoattachGraphicsDevice": "boolean",
    "autoattachInputDevice": "boolean",
    "autoattachPodInterface": "boolean",
    "autoattachSerialConsole": "boolean",
    "logSerialConsole": "boolean",
    "disks": [_DISK],
    "interfaces": [_INTERFACE],
    "inputs": [{"name": "string", "type": "string", "bus": "string"}],
    "rng": {},
    **not_built(
        "autoattachMemBalloon", "autoattachVSOCK", "blockMultiQueue", "clientPassthrough", "disableHotplug",
        "downwardMetrics", "filesystems", "gpus", "hostDevices", "networkInterfaceMultiqueue", "panicDevices",
        "sound", "tpm", "useVirtioTransitional", "video", "watchdog",
    ),
}  # fmt: skip
_DOMAIN: Tree = {
    "cpu": _CPU,
    "memory": {"guest": "quantity", **not_built("hugepages", "maxGuest", "reservedOverhead")},
    "resources": {
        "requests": _QUANTITIES,
        "limits": _QUANTITIES,
        **not_built("overcommitGuestOverhead"),
    },
    "machine": {"type": "string"},
    "firmware": {"uuid": "string", "serial": "string", **not_built("acpi", "bootloader", "kernelBoot")},
    "features": {
        "acpi": {"enabled": "boolean"},
        **not_built("apic", "hyperv", "hypervPassthrough", "kvm", "pvspinlock", "smm"),
    },
    "devices": _DEVICES,
    **not_built(
        "chassis", "clock", "ioThreads", "ioThreadsPolicy", "launchSecurity", "rebootPolicy"
    ),
}  # fmt: skip
_LOCAL_REFERENCE: Tree = {"name": "string"}
_VOLUME: Tree = {
    "name": "string",
    "containerDisk": {
        "image": "string",
        "imagePullPolicy": "string",
        **not_built("imagePullSecret", "path"),
    },
    "cloudInitNoCloud": {
        "userData": "string",
        "userDataBase64": "string",
        "secretRef": _LOCAL_REFERENCE,
        "networkData": "string",
        "networkDataBase64": "string",
        "networkDataSecretRef": _LOCAL_REFERENCE,
    },
    "emptyDisk": {"capacity": "quantity"},
    **not_built(
        "cloudInitConfigDrive", "configMap", "containerPath", "dataVolume", "downwardAPI", "downwardMetrics",
        "ephemeral", "hostDisk", "memoryDump", "persistentVolumeClaim", "secret", "serviceAccount", "sysprep",
    ),
}  # fmt: skip

VMI_SPEC: Tree = {
    "architecture": "string",
    "domain": _DOMAIN,
    "evictionStrategy": "string",
    "hostname": "string",
    "networks": [
        {
            "name": "string",
            "pod": not_built("vmIPv6NetworkCIDR", "vmNetworkCIDR"),
            **not_built("multus", "resourceClaim"),
        }
    ],
    "startStrategy": "string",
    "subdomain": "string",
    "terminationGracePeriodSeconds": "integer",
    "volumes": [_VOLUME],
    **not_built(
        "accessCredentials", "affinity", "dnsConfig", "dnsPolicy", "livenessProbe", "nodeSelector",
        "priorityClassName", "readinessProbe", "resourceClaims", "schedulerName", "serviceAccountName",
        "tolerations", "topologySpreadConstraints", "utilityVolumes",
    ),
}  # fmt: skip

VM_SPEC: Tree = {
    "running": "boolean",
    "runStrategy": "string",
    "template": {"metadata": METADATA, "spec": VMI_SPEC},
    **not_built("dataVolumeTemplates", "instancetype", "preference", "updateVolumesStrategy"),
}
