"""The fields of a VirtualMachineInstance and a VirtualMachine: those carried out here, and those refused by name."""

from __future__ import annotations

from labkit.local.api.kinds import Tree
from labkit.local.api.schemas import METADATA, not_built
from labkit.local.storage.kinds import DATA_VOLUME_SPEC

_COUNT, _FIRST = f"0:{2**31 - 1}", f"1:{2**31 - 1}"
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_MAC = r"(?!02([:-]00){5})[0-9a-fA-F][02468aceACE]([:-][0-9a-fA-F]{2}){5}"
"""A machine's own: neither a group's nor the first of those that are given out."""
_NAME, _SERIAL = "~[A-Za-z0-9_-]+", "~[A-Za-z0-9_.+-]{0,256}"
_QUANTITIES: Tree = {"memory": "quantity", "cpu": "quantity"}
_CPU: Tree = {
    **dict.fromkeys(("cores", "sockets", "threads"), "0:64"),
    "model": "host-model|host-passthrough",
    "maxSockets": _COUNT,
    **not_built("dedicatedCpuPlacement", "features", "isolateEmulatorThread", "numa", "realtime"),
}
_DISK: Tree = {
    "name!": "string",
    "disk": {"bus": "virtio|sata", "readonly": "boolean", **not_built("pciAddress")},
    "cdrom": {"bus": "sata|", "readonly": "boolean", **not_built("tray")},
    "bootOrder": _FIRST,
    "serial": _SERIAL,
    **not_built(
        "blockSize", "cache", "changedBlockTracking", "dedicatedIOThread", "errorPolicy", "io", "lun",
        "shareable", "tag",
    ),
}  # fmt: skip
_INTERFACE: Tree = {
    "name!": _NAME,
    "bridge!": {},
    "bootOrder": _FIRST,
    "macAddress": f"~({_MAC})?",
    "model": "virtio|e1000e",
    "ports": [{"name": "string", "port": "integer", "protocol": "string"}],
    **not_built(
        "acpiIndex", "binding", "dhcpOptions", "macvtap", "masquerade", "passt", "passtBinding", "pciAddress",
        "portRanges", "slirp", "sriov", "state", "tag",
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
    "inputs": [{"name": "string", "type": "tablet|", "bus": "usb|virtio"}],
    "rng": {},
    **not_built(
        "autoattachMemBalloon", "autoattachVSOCK", "blockMultiQueue", "clientPassthrough", "disableHotplug",
        "downwardMetrics", "filesystems", "gpus", "hostDevices", "networkInterfaceMultiqueue", "panicDevices", "sound",
        "tpm", "useVirtioTransitional", "video", "watchdog",
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
    "machine": {"type": "~(q35|pc-q35-.+)?"},
    "firmware": {
        "uuid": "~[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        "serial": _SERIAL,
        **not_built("acpi", "bootloader", "kernelBoot"),
    },
    "features": {
        "acpi": {"enabled": "boolean"},
        **not_built("apic", "hyperv", "hypervPassthrough", "kvm", "pvspinlock", "smm"),
    },
    "devices!": _DEVICES,
    **not_built(
        "chassis", "clock", "ioThreads", "ioThreadsPolicy", "launchSecurity", "rebootPolicy"
    ),
}  # fmt: skip
_LOCAL_REFERENCE: Tree = {"name": "string"}
_VOLUME: Tree = {
    "name!": _NAME,
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
    "emptyDisk": {"capacity!": "quantity"},
    "persistentVolumeClaim": {"claimName!": "string", "readOnly": "boolean", **not_built("hotpluggable")},
    "dataVolume": {"name!": "string", **not_built("hotpluggable")},
    "ephemeral": {"persistentVolumeClaim!": {"claimName!": "string", "readOnly": "boolean"}},
    **not_built(
        "cloudInitConfigDrive", "configMap", "containerPath", "downwardAPI", "downwardMetrics", "hostDisk",
        "memoryDump", "secret", "serviceAccount", "sysprep",
    ),
}  # fmt: skip
_TIMES = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_PROBE: Tree = {
    **dict.fromkeys(_TIMES, _COUNT),
    "exec": {"command": ["string"]},
    "guestAgentPing": {},
    "httpGet": {
        "path": "string",
        "port!": "1:65535",
        "scheme": "HTTP|HTTPS",
        "httpHeaders": [{"name": "string", "value": "string"}],
        **not_built("host"),
    },
    "tcpSocket": {"port!": "1:65535", **not_built("host")},
}

VMI_SPEC: Tree = {
    "architecture": "amd64|",
    "domain!": _DOMAIN,
    "evictionStrategy": "None|External|LiveMigrateIfPossible",
    "hostname": f"~{_LABEL}",
    "networks": [
        {
            "name!": "string",
            "pod!": not_built("vmIPv6NetworkCIDR", "vmNetworkCIDR"),
            **not_built("multus", "resourceClaim"),
        }
    ],
    "readinessProbe": _PROBE,
    "livenessProbe": _PROBE,
    "startStrategy": "Paused|",
    "subdomain": rf"~{_LABEL}(\.{_LABEL})*",
    "terminationGracePeriodSeconds": _COUNT,
    "volumes": [_VOLUME],
    **not_built(
        "accessCredentials", "affinity", "dnsConfig", "dnsPolicy", "nodeSelector", "priorityClassName",
        "resourceClaims", "schedulerName", "serviceAccountName", "tolerations", "topologySpreadConstraints",
        "utilityVolumes",
    ),
}  # fmt: skip

VM_SPEC: Tree = {
    "running": "boolean",
    "runStrategy": "Always|Halted|Manual|Once|RerunOnFailure",
    "template!": {"metadata": METADATA, "spec!": VMI_SPEC},
    "dataVolumeTemplates": [
        {"apiVersion": "string", "kind": "string", "metadata!": METADATA, "spec!": DATA_VOLUME_SPEC, "status": "any"}
    ],
    **not_built("instancetype", "preference", "updateVolumesStrategy"),
}
_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.Time"
VM_STATUS: Tree = {
    **dict.fromkeys(("printableStatus", "runStrategy", "snapshotInProgress", "restoreInProgress"), "string"),
    **dict.fromkeys(("created", "ready"), "boolean"),
    **dict.fromkeys(("observedGeneration", "desiredGeneration"), "integer"),
    "conditions": [
        {
            "type!": "string", "status!": "True|False|Unknown", "reason": "string", "message": "string",
            "lastProbeTime": _TIME, "lastTransitionTime": _TIME,
        }
    ],
    "stateChangeRequests": [{"action!": "Start|Stop", "uid": "string", "data": {"*": "string"}}],
    "startFailure": {
        "consecutiveFailCount!": "integer", "lastFailedVMIUID!": "string", "retryAfterTimestamp!": _TIME,
    },
}  # fmt: skip
