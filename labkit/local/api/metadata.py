"""What ``metadata`` may hold: names, labels, annotations, finalizers, owners. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from labkit.local.api.kinds import Kind
from labkit.local.api.status import Cause
from labkit.local.objects import Obj

_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_KINDS = ("namespaces", "services")
_WORD = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PATH_KINDS = "rbac.authorization.k8s.io"
_ANNOTATION_BYTES = 256 * 2**10


def faults(kind: Kind, meta: Obj) -> list[Cause]:
    """Everything that is wrong with the metadata of an object of a kind (its types are right)."""
    name = meta.get("name")
    if not name:
        return [Cause("metadata.name", "name or generateName is required", "FieldValueRequired")]
    found = []
    if kind.group == _PATH_KINDS:
        if name in (".", "..") or "/" in name or "%" in name:
            found.append(Cause("metadata.name", f"Invalid value: '{name}': may not be '.', '..' or contain '/' or '%'"))
    else:
        pattern, what = (_LABEL, "label") if kind.key in _LABEL_KINDS else (_SUBDOMAIN, "subdomain")
        if not pattern.fullmatch(name):
            found.append(Cause("metadata.name", f"Invalid value: '{name[:300]}' is not a lowercase RFC 1123 {what}"))
    return [*found, *_tagged(meta), *_owned(meta)]


def _tagged(meta: Obj) -> Iterator[Cause]:
    named = {"labels": meta.get("labels"), "annotations": meta.get("annotations"), "finalizers": meta.get("finalizers")}
    for part, keys in named.items():
        for key in keys or ():
            if not _is_qualified(key.lower() if part == "annotations" else key):
                yield Cause(f"metadata.{part}", f"Invalid value: '{key[:300]}' is not a name of the form [PREFIX/]WORD")
    for value in (meta.get("labels") or {}).values():
        if value and not _WORD.fullmatch(value):
            why = "must be empty, or up to 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends"
            yield Cause("metadata.labels", f"Invalid value: '{value[:300]}': {why}")
    notes = meta.get("annotations") or {}
    if sum(len(key.encode()) + len((value or "").encode()) for key, value in notes.items()) > _ANNOTATION_BYTES:
        why = f"Too long: may not be more than {_ANNOTATION_BYTES} bytes"
        yield Cause("metadata.annotations", why, "FieldValueTooLong")


def _owned(meta: Obj) -> Iterator[Cause]:
    references = meta.get("ownerReferences") or []
    for n, reference in enumerate(references):
        for part in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(part):
                yield Cause(f"metadata.ownerReferences[{n}].{part}", "must not be empty", "FieldValueRequired")
    if sum(reference.get("controller") is True for reference in references) > 1:
        yield Cause("metadata.ownerReferences", "Only one reference can have Controller set to true")


def _is_qualified(key: str) -> bool:
    prefix, slash, word = key.rpartition("/")
    return bool(_WORD.fullmatch(word)) and (not slash or bool(_SUBDOMAIN.fullmatch(prefix)))
