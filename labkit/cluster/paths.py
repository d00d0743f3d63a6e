"""Where the Kubernetes API has each kind of object that labkit uses. Pure."""

from __future__ import annotations

_PLURALS = {
    "Namespace": "namespaces",
    "Secret": "secrets",
    "Service": "services",
    "Event": "events",
    "Pod": "pods",
    "ResourceQuota": "resourcequotas",
    "LimitRange": "limitranges",
    "ConfigMap": "configmaps",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "DataVolume": "datavolumes",
    "Lease": "leases",
    "NetworkPolicy": "networkpolicies",
    "RoleBinding": "rolebindings",
    "VirtualMachine": "virtualmachines",
    "VirtualMachineInstance": "virtualmachineinstances",
    "VirtualMachineSnapshot": "virtualmachinesnapshots",
    "VirtualMachineRestore": "virtualmachinerestores",
}
_VERSIONS = {
    "Lease": "coordination.k8s.io/v1",
    "DataVolume": "cdi.kubevirt.io/v1beta1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "VirtualMachine": "kubevirt.io/v1",
    "VirtualMachineInstance": "kubevirt.io/v1",
    "VirtualMachineSnapshot": "snapshot.kubevirt.io/v1beta1",
    "VirtualMachineRestore": "snapshot.kubevirt.io/v1beta1",
}


def path_of(kind: str, namespace: str | None = None, name: str | None = None) -> str:
    """The API's path of a collection, or of one object. Raises KeyError for a kind that labkit does not use."""
    version = _VERSIONS.get(kind, "v1")
    parts = ["apis" if "/" in version else "api", version]
    if namespace is not None:
        parts += ["namespaces", namespace]
    parts.append(_PLURALS[kind])
    if name is not None:
        parts.append(name)
    return "/" + "/".join(parts)
