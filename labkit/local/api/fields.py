"""Fields of a kind that Kubernetes itself does not define, written as plain data.

A tree is a dict of field names (``name!`` for one that must be there), ``{"*": tree}`` for a map with free keys,
``[tree]`` for a list, or a leaf: one of ``string integer boolean quantity object any``, ``a|b`` for one of several
words, ``~`` and a pattern for a string, ``1:64`` for an integer between bounds, the dotted name of one of Kubernetes'
own definitions, or ``NOT_BUILT`` for a field that the API has but this engine does not carry out.
"""

from __future__ import annotations

from typing import Any

Tree = Any
NOT_BUILT = "not built"

METADATA: Tree = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
SELECTOR: Tree = "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"


def not_built(*names: str) -> dict[str, Tree]:
    """Fields that exist in Kubernetes or KubeVirt and are refused here by name."""
    return dict.fromkeys(names, NOT_BUILT)
