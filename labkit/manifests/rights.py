"""What the gateway may do in a lab: what deploy/gateway-role.yaml says, in this lab's namespace and no other. Pure."""

from __future__ import annotations

from labkit.manifests.scope import Object, Scope
from labkit.manifests.site import Site

GATEWAY = "labkit-gateway"
"""The gateway's account, its pods' app label, and the ClusterRole of its rights."""
_GROUP = "rbac.authorization.k8s.io"


def gateway_rights(scope: Scope, site: Site) -> list[Object]:
    """The binding; none where the gateway does not run in the cluster."""
    if not site.gateway:
        return []
    role = {"apiGroup": _GROUP, "kind": "ClusterRole", "name": GATEWAY}
    account = {"kind": "ServiceAccount", "name": GATEWAY, "namespace": site.gateway}
    return [scope.object(f"{_GROUP}/v1", "RoleBinding", GATEWAY, roleRef=role, subjects=[account])]
