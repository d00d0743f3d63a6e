"""The table of kinds: all that the engine serves. A new kind is a row."""

from __future__ import annotations

from labkit.local.access.admission import admit_binding, admit_role
from labkit.local.api import admission
from labkit.local.api.columns import AGE, NAME, Column, age, condition, count, field, quota_use
from labkit.local.api.kinds import ALL_VERBS, Kind
from labkit.local.api.quota import admit_limit_range, admit_quota
from labkit.local.kubevirt.admission import admit_vm, admit_vmi
from labkit.local.kubevirt.fields import VM_SPEC, VM_STATUS, VMI_SPEC
from labkit.local.network.policies import admit_network_policy
from labkit.local.objects import Obj, deleting, get_path
from labkit.local.pods.spec import admit_pod
from labkit.local.storage import kinds as storage

_SERVICE_SPEC = (
    "externalIPs", "externalName", "externalTrafficPolicy", "healthCheckNodePort", "loadBalancerIP",
    "loadBalancerClass", "loadBalancerSourceRanges", "allocateLoadBalancerNodePorts", "sessionAffinityConfig",
    "trafficDistribution", "ports.nodePort",
)  # fmt: skip


def _ports(service: Obj) -> str:
    shown = [f"{port['port']}/{port['protocol']}" for port in get_path(service, "spec.ports", [])]
    return ",".join(shown) or "<none>"


def _labels(labels: Obj | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


def _ready(pod: Obj) -> str:
    statuses = get_path(pod, "status.containerStatuses", [])
    return f"{sum(bool(item['ready']) for item in statuses)}/{len(get_path(pod, 'spec.containers', []))}"


def _status(pod: Obj) -> str:
    """The phase, or what keeps a container from running."""
    states = [item["state"] for item in get_path(pod, "status.containerStatuses", [])]
    reasons = [get_path(state, f"{kind}.reason") for kind in ("waiting", "terminated") for state in states]
    going = "Terminating" if deleting(pod) else ""
    return going or next(filter(None, reasons), None) or str(get_path(pod, "status.phase", ""))


def _restarts(pod: Obj) -> int:
    return sum(item["restartCount"] for item in get_path(pod, "status.containerStatuses", []))


def _event_object(event: Obj) -> str:
    about = event["involvedObject"]
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


_RBAC = "rbac.authorization.k8s.io"
_CREATED = (NAME, Column("Created At", field("metadata.creationTimestamp")))
_BOUND = (NAME, Column("Role", lambda o: f"{o['roleRef']['kind']}/{o['roleRef']['name']}"), AGE)


def _review(kind: str, group: str) -> Kind:
    """A kind that is answered instead of stored."""
    return Kind(kind, group, namespaced=False, verbs=("create",))


KINDS: tuple[Kind, ...] = (
    Kind("Role", _RBAC, admit=admit_role, columns=_CREATED),
    Kind("ClusterRole", _RBAC, admit=admit_role, columns=_CREATED, namespaced=False, refused=("aggregationRule",)),
    Kind("RoleBinding", _RBAC, admit=admit_binding, columns=_BOUND),
    Kind("ClusterRoleBinding", _RBAC, admit=admit_binding, columns=_BOUND, namespaced=False),
    _review("SelfSubjectReview", "authentication.k8s.io"),
    _review("SelfSubjectAccessReview", "authorization.k8s.io"),
    _review("SelfSubjectRulesReview", "authorization.k8s.io"),
    Kind(
        "Namespace",
        namespaced=False,
        verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
        lasting=("default",),
        short_names=("ns",),
        admit=admission.admit_namespace,
        columns=(NAME, Column("Status", field("status.phase")), AGE),
    ),
    Kind(
        "Secret",
        admit=admission.admit_secret,
        columns=(NAME, Column("Type", field("type")), Column("Data", count("data"), type="integer"), AGE),
    ),
    Kind(
        "ConfigMap",
        short_names=("cm",),
        admit=admission.admit_config_map,
        columns=(NAME, Column("Data", count("data", "binaryData"), type="integer"), AGE),
    ),
    Kind(
        "ServiceAccount",
        short_names=("sa",),
        columns=(NAME, Column("Secrets", count("secrets"), type="integer"), AGE),
        subresources=(("token", "TokenRequest", ("create",)),),
    ),
    Kind(
        "ResourceQuota",
        refused=("spec.scopes", "spec.scopeSelector"),
        short_names=("quota",),
        admit=admit_quota,
        columns=(NAME, Column("Request", quota_use(limits=False)), Column("Limit", quota_use(limits=True)), AGE),
    ),
    Kind(
        "LimitRange",
        refused=("spec.limits.maxLimitRequestRatio",),
        short_names=("limits",),
        admit=admit_limit_range,
        columns=_CREATED,
    ),
    Kind(
        "Service",
        refused=tuple(f"spec.{name}" for name in _SERVICE_SPEC),
        short_names=("svc",),
        categories=("all",),
        admit=admission.admit_service,
        columns=(
            NAME,
            Column("Type", field("spec.type")),
            Column("Cluster-IP", field("spec.clusterIP")),
            Column("External-IP", lambda _: "<none>"),
            Column("Port(s)", _ports),
            AGE,
            Column("Selector", lambda o: _labels(get_path(o, "spec.selector")), wide=True),
        ),
    ),
    Kind(
        "Pod",
        short_names=("po",),
        categories=("all",),
        admit=admit_pod,
        subresources=(
            ("exec", "PodExecOptions", ("create", "get")),
            ("log", "Pod", ("get",)),
            ("portforward", "PodPortForwardOptions", ("create", "get")),
        ),
        columns=(
            NAME,
            Column("Ready", _ready),
            Column("Status", _status),
            Column("Restarts", _restarts, type="integer"),
            AGE,
            Column("IP", field("status.podIP"), wide=True),
            Column("Node", field("spec.nodeName"), wide=True),
        ),
    ),
    Kind(
        "Event",
        short_names=("ev",),
        columns=(
            Column("Last Seen", lambda o: age(o.get("lastTimestamp"))),
            Column("Type", field("type")),
            Column("Reason", field("reason")),
            Column("Object", _event_object),
            Column("Message", field("message")),
        ),
    ),
    Kind(
        "NetworkPolicy",
        "networking.k8s.io",
        short_names=("netpol",),
        counts_generations=True,
        admit=admit_network_policy,
        columns=(NAME, Column("Pod-Selector", lambda o: _labels(get_path(o, "spec.podSelector.matchLabels"))), AGE),
    ),
    Kind("Lease", "coordination.k8s.io", columns=(NAME, Column("Holder", field("spec.holderIdentity")), AGE)),
    Kind(
        "VirtualMachine",
        "kubevirt.io",
        fields={"spec!": VM_SPEC, "status": VM_STATUS},
        short_names=("vm", "vms"),
        categories=("all",),
        admit=admit_vm,
        counts_generations=True,
        finalizers=("kubevirt.io/virtualMachineControllerFinalize",),
        columns=(NAME, AGE, Column("Status", field("status.printableStatus")), Column("Ready", condition("Ready"))),
    ),
    Kind(
        "VirtualMachineInstance",
        "kubevirt.io",
        fields={"spec!": VMI_SPEC},
        short_names=("vmi", "vmis"),
        categories=("all",),
        admit=admit_vmi,
        counts_generations=True,
        finalizers=("kubevirt.io/foregroundDeleteVirtualMachine",),
        columns=(
            NAME,
            AGE,
            Column("Phase", field("status.phase")),
            Column("IP", lambda o: (get_path(o, "status.interfaces") or [{}])[0].get("ipAddress", "")),
            Column("NodeName", field("status.nodeName")),
            Column("Ready", condition("Ready")),
            Column("Paused", condition("Paused"), wide=True),
        ),
    ),
    *storage.KINDS,
)
