"""What a URL path of a resource means. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

_NAMESPACE_PARTS = ("status", "finalize")


@dataclass(frozen=True)
class ResourcePath:
    """``/apis/GROUP/VERSION/namespaces/NAMESPACE/PLURAL/NAME/SUBRESOURCE``; parts that are absent are empty.

    ``subresource`` keeps its slashes (``portforward/22/tcp``).
    """

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str


def parse(path: str) -> ResourcePath | None:
    """The resource that a path (as it was sent, with its ``%2F``) names; None for any other path."""
    parts = [unquote(part) for part in path.split("/") if part]
    if len(parts) > 2 and parts[0] == "api":
        return _below("", parts[1], parts[2:])
    if len(parts) > 3 and parts[0] == "apis":
        return _below(parts[1], parts[2], parts[3:])
    return None


def _below(group: str, version: str, parts: list[str]) -> ResourcePath:
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in _NAMESPACE_PARTS:
        namespace, parts = parts[1], parts[2:]
    plural, name, subresource = parts[0], parts[1] if len(parts) > 1 else "", "/".join(parts[2:])
    return ResourcePath(group, version, namespace, plural, name, subresource)
