"""What a request needs, and the refusal. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from labkit.local.access.rules import Attributes, User
from labkit.local.api.discovery import SUBRESOURCES
from labkit.local.api.paths import ResourcePath
from labkit.local.api.selectors import exact
from labkit.local.api.status import ApiError, forbidden

_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_POD_STREAMS = ("exec", "attach", "portforward")


def needed(method: str, url: str, path: ResourcePath | None, query: Mapping[str, str]) -> tuple[Attributes, ...]:
    """The rights that a request needs, all of them. ``path`` is what ``url`` means where that is a resource.

    The API server looks at the first step of a subresource; KubeVirt's own server then at all of it, but for a
    forwarded port. Streams into pods need ``create`` beside ``get`` since Kubernetes 1.35.
    """
    if path is None:
        return (Attributes(method.lower(), path=url),)
    verb, name = _VERBS.get(method, ""), path.name
    if not name and verb == "get":
        verb = "watch" if query.get("watch") in ("true", "1") else "list"
        name = exact(query.get("fieldSelector", ""), "metadata.name")
    elif not name and verb == "delete":
        verb = "deletecollection"
    namespace = path.name if path.group == "" and path.plural == "namespaces" else path.namespace
    sub = path.subresource.partition("/")[0]
    resource = f"{path.plural}/{sub}" if sub else path.plural
    first = Attributes(verb, path.group, resource, namespace, name)
    if path.group == SUBRESOURCES and sub not in (path.subresource, "portforward"):
        return first, replace(first, resource=f"{path.plural}/{path.subresource}")
    if path.group == "" and path.plural == "pods" and sub in _POD_STREAMS and verb == "get":
        return first, replace(first, verb="create")
    return (first,)


def refusal(user: User, wanted: Attributes) -> ApiError:
    """The 403, in Kubernetes' words; it says nothing of what exists."""
    what = f'User "{user.name}" cannot {wanted.verb} '
    if wanted.path:
        return ApiError(403, "Forbidden", f'forbidden: {what}path "{wanted.path}"')
    where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    what += f'resource "{wanted.resource}" in API group "{wanted.group}" {where}'
    return forbidden(wanted.resource.partition("/")[0], wanted.group, wanted.name, what)
