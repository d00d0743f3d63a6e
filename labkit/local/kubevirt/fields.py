"""The fields of a VirtualMachineInstance and a VirtualMachine: those carried out here, and those refused by name."""

from __future__ import annotations

from labkit.local.api.fields import METADATA, Tree, not_built
from labkit.local.storage.kinds import DATA_VOLUME_SPEC

_QUANTITIES: Tree = {"memory": "quantity", "cpu": "quantity"}
_CPU: Tree = {
    "cores": "integer",
    "sockets": "integer",
    "threads": "integer",
    "model": "string",
    "maxSockets": "integer",
    **not_built("dedicatedCpuPlacement", "features", "isolateEmulatorThread", "numa", "realtime"),
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
    "bootOrder": "integer",
    "macAddress": "string",
    "model": "string",
    "ports": [{"name": "string", "port": "integer", "protocol": "string"}],
    # Refused by admission, in KubeVirt's words.
    **dict.fromkeys(("masquerade", "slirp", "passt", "macvtap"), "any"),
    **not_built(
        "acpiIndex", "binding", "dhcpOptions", "passtBinding", "pciAddress", "portRanges", "sriov", "state",
        "tag",
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
    "autoattachVSOCK": "boolean",
    "downwardMetrics": "any",
    **not_built(
        "autoattachMemBalloon", "blockMultiQueue", "clientPassthrough", "disableHotplug", "filesystems", "gpus",
        "hostDevices", "networkInterfaceMultiqueue", "panicDevices", "sound", "tpm", "useVirtioTransitional",
        "video", "watchdog",
    ),
}  # fmt: skip
_DOMAIN: Tree = {
    "cpu": _CPU,
    "memory": {"guest": "quantity", "maxGuest": "quantity", **not_built("hugepages", "reservedOverhead")},
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
    "persistentVolumeClaim": {"claimName": "string", "readOnly": "boolean", **not_built("hotpluggable")},
    "dataVolume": {"name": "string", **not_built("hotpluggable")},
    "ephemeral": {"persistentVolumeClaim": {"claimName": "string", "readOnly": "boolean"}},
    **dict.fromkeys(("hostDisk", "downwardMetrics"), "any"),
    **not_built(
        "cloudInitConfigDrive", "configMap", "containerPath", "downwardAPI", "memoryDump", "secret", "serviceAccount",
        "sysprep",
    ),
}  # fmt: skip
_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_PROBE: Tree = {
    **dict.fromkeys(_NUMBERS, "integer"),
    "exec": {"command": ["string"]},
    "guestAgentPing": {},
    "httpGet": {
        "path": "string",
        "port": "quantity",
        "scheme": "string",
        "httpHeaders": [{"name": "string", "value": "string"}],
        **not_built("host"),
    },
    "tcpSocket": {"port": "quantity", **not_built("host")},
}

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
    "readinessProbe": _PROBE,
    "livenessProbe": _PROBE,
    "startStrategy": "string",
    "subdomain": "string",
    "terminationGracePeriodSeconds": "integer",
    "volumes": [_VOLUME],
    **not_built(
        "accessCredentials", "affinity", "dnsConfig", "dnsPolicy", "nodeSelector", "priorityClassName",
        "resourceClaims", "schedulerName", "serviceAccountName", "tolerations", "topologySpreadConstraints",
        "utilityVolumes",
    ),
}  # fmt: skip

VM_SPEC: Tree = {
    "running": "boolean",
    "runStrategy": "string",
    "template": {"metadata": METADATA, "spec": VMI_SPEC},
    "dataVolumeTemplates": [
        {"apiVersion": "string", "kind": "string", "metadata": METADATA, "spec": DATA_VOLUME_SPEC, "status": "any"}
    ],
    **not_built("instancetype", "preference", "updateVolumesStrategy"),
}
