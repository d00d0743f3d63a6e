"""When a machine counts as ready, as Kubernetes asks it. Pure."""

from __future__ import annotations

from labkit.manifests.scope import Object
from labkit.templates import Machine

_PROBE = {"periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 3}


def probe(machine: Machine) -> Object:
    """`{"readinessProbe": …}`, or nothing where the template does not say."""
    ready = machine.ready
    if ready is None:
        return {}
    handlers: dict[str, Object] = {
        "agent": {"guestAgentPing": {}},
        "tcp": {"tcpSocket": {"port": ready.port}},
        "http": {"httpGet": {"port": ready.port, "path": ready.path}},
    }
    return {"readinessProbe": {**handlers[ready.kind], **_PROBE}}
