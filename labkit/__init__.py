"""labkit: KubeVirt labs for learners: `labkit.start("hello-lab")`, `lab.stop()`, `labkit.labs()` in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.jupyter.lab import Lab, labs, start

__all__ = ["Lab", "labs", "start"]


def __getattr__(name: str) -> object:
    """Load the notebook's face when it is first used: `import labkit` itself is light."""
    if name in __all__:
        from labkit.jupyter import lab

        return getattr(lab, name)
    raise AttributeError(f"module 'labkit' has no attribute {name!r}")
