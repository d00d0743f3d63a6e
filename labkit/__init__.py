"""labkit: KubeVirt labs for learners, from a notebook.

``labkit.templates()`` lists what can be started, ``lab = labkit.start("hello-lab")`` starts it, ``lab.stop()`` ends it;
``labkit.labs()`` finds your labs again, ``labkit.step("note")`` shows one step of the running lab in a cell.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from labkit.jupyter.lab import Lab, labs, start, step

__all__ = ["Lab", "labs", "start", "step", "templates"]


def __getattr__(name: str) -> object:
    """Load the notebook's face when it is first used: `import labkit` itself is light."""
    if name == "templates":  # a package of that name, which can be called
        return importlib.import_module("labkit.templates")
    if name in __all__:
        from labkit.jupyter import lab

        return getattr(lab, name)
    raise AttributeError(f"module 'labkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What `%load_ext labkit` calls: the magics %lab and %%machine."""
    from labkit.jupyter.magics import load_ipython_extension

    load_ipython_extension(shell)
