"""Refusals of the API as exceptions, each of which knows its Status document and HTTP code. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cause:
    """One fault of an invalid object: the field, what is wrong, and Kubernetes' word for it."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"


class ApiError(Exception):
    """An answer that is not a success. ``plain`` ones are sent as text, as KubeVirt does in some places."""

    def __init__(
        self, code: int, reason: str, message: str, *, details: dict[str, Any] | None = None, plain: bool = False
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details, self.plain = details or {}, plain

    def body(self) -> dict[str, Any]:
        """The Status object that clients read."""
        about = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message}
        return {**about, "reason": self.reason, "details": self.details, "code": self.code}


def qualified(plural: str, group: str) -> str:
    """``virtualmachines.kubevirt.io``, or just ``secrets`` for the core group."""
    return f"{plural}.{group}" if group else plural


def _about(code: int, reason: str, about: tuple[str, str, str], words: str, causes: Sequence[Cause] = ()) -> ApiError:
    """A refusal of one object (plural, group, name; without a name: of a kind), whose place in ``words`` is {}."""
    plural, group, name = about
    listed = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    details = {"name": name, "group": group, "kind": plural, "causes": listed}
    what = f'{qualified(plural, group)} "{name}"' if name else qualified(plural, group)
    kept = {key: value for key, value in details.items() if value}
    return ApiError(code, reason, words.replace("{}", what, 1), details=kept)


def not_found(plural: str, group: str, name: str) -> ApiError:
    """404 for an object that is not there."""
    return _about(404, "NotFound", (plural, group, name), "{} not found")


def no_such_path(what: str) -> ApiError:
    """404 for a path, kind or subresource that this engine does not serve, naming it."""
    return ApiError(404, "NotFound", f"the embedded engine does not serve {what}")


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """409 for a second object of one name."""
    return _about(409, "AlreadyExists", (plural, group, name), "{} already exists")


def conflict(plural: str, group: str, name: str, why: str) -> ApiError:
    """409 for an operation that the object's state forbids."""
    return _about(409, "Conflict", (plural, group, name), f"Operation cannot be fulfilled on {{}}: {why}")


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422 listing every fault."""
    faults = "; ".join(f"{cause.field}: {cause.message}" for cause in causes)
    return _about(422, "Invalid", (kind, group, name), f"{{}} is invalid: {faults}", causes)


def bad_option(name: str, why: str) -> ApiError:
    """422 for one word of a request's query."""
    return invalid("Options", "meta.k8s.io", "", [Cause(name, why)])


def forbidden(plural: str, group: str, name: str, why: str, causes: Sequence[Cause] = ()) -> ApiError:
    """403 for one object, or (without a name) for a kind."""
    return _about(403, "Forbidden", (plural, group, name), f"{{}} is forbidden: {why}", causes)


def namespace_terminating(plural: str, group: str, name: str, namespace: str) -> ApiError:
    """403 for a new object in a namespace that is going away."""
    cause = Cause("metadata.namespace", f"namespace {namespace} is being terminated", "NamespaceTerminating")
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    return forbidden(plural, group, name, why, [cause])


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: no token, or not the engine's."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def method_not_allowed(method: str, what: str) -> ApiError:
    """405 naming the method and what it was tried on."""
    return ApiError(405, "MethodNotAllowed", f"the embedded engine does not serve {method} on {what}")


def unsupported_media_type(given: str, accepted: Sequence[str]) -> ApiError:
    """415 naming what was sent and what is read."""
    why = f"the body of the request was in an unsupported format ({given})"
    return ApiError(415, "UnsupportedMediaType", f"{why}; accepted media types include: {', '.join(accepted)}")


def expired(revision: int, oldest: int) -> ApiError:
    """410: the watch or list starts before what the engine remembers."""
    return ApiError(410, "Expired", f"too old resource version: {revision} ({oldest})")


def too_large(revision: int, current: int) -> ApiError:
    """504: the client has seen a later revision than there is (yet)."""
    message = f"Timeout: Too large resource version: {revision}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return ApiError(504, "Timeout", message, details={"causes": [cause], "retryAfterSeconds": 1})


def too_much(limit: int) -> ApiError:
    """413."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def internal_error(message: str) -> ApiError:
    """500 in the form that KubeVirt gives its stream errors."""
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")
