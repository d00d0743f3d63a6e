"""The folder `checks/`: one folder a step, in it scripts for the machines that they run in.

    checks/STEP/check-MACHINE    decides the step
    checks/STEP/setup-MACHINE    prepares it, once, when the lab has started
    checks/STEP/solve-MACHINE    does it, for those who try the lab out

What a file's name may begin with is the table `PARTS`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from labkit.errors import Fault
from labkit.templates.files import MOST_BYTES
from labkit.templates.schema import Check
from labkit.wording import did_you_mean

PARTS = {"check": True, "setup": True, "solve": True, "cleanup": False}
"""The words before `-MACHINE` in a file's name, and whether this version runs such a script."""

Scripts = dict[str, tuple[Check, ...]]
"""Scripts by the word that their names begin with, sorted by step and machine."""


def step_folders(folder: Path) -> list[Path]:
    """The folders of `checks/`, one for each checked step, sorted."""
    checks = folder / "checks"
    return sorted(path for path in checks.iterdir() if _visible(path) and path.is_dir()) if checks.is_dir() else []


def read_scripts(folder: Path, machines: Collection[str] | None) -> tuple[Scripts, list[Fault]]:
    """The scripts, and what is wrong in the folder. `machines` None: not known, nothing said about them."""
    found: dict[str, list[Check]] = {part: [] for part in PARTS}
    faults = [
        Fault(f"checks/{path.name}", 0, "stands outside of a step's folder; put it into checks/STEP/")
        for path in sorted((folder / "checks").glob("*"))
        if _visible(path) and not path.is_dir()
    ]
    for step in step_folders(folder):
        for path in (path for path in sorted(step.iterdir()) if _visible(path)):
            part, _, machine = path.name.partition("-")
            wrong = _name_fault(path.name, machines) or _content_fault(path) or _second(part, step.name, found)
            if wrong:
                faults.append(Fault(f"checks/{step.name}/{path.name}", *wrong))
            else:
                found[part].append(Check(step.name, machine, path.read_text(encoding="utf-8")))
        if not any(path.name.startswith("check") for path in step.iterdir()):
            faults.append(Fault(f"checks/{step.name}", 0, "holds no check; add check-MACHINE, or remove the folder"))
    return {part: tuple(scripts) for part, scripts in found.items()}, faults


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")


Wrong = tuple[int, str]


def _name_fault(name: str, machines: Collection[str] | None) -> Wrong | None:
    part, dash, machine = name.partition("-")
    if name == "check.py":
        return 0, "a check beside the lab (check.py) is not built in this version"
    if not dash or part not in PARTS:
        return 0, f"'{name}' is not known here{did_you_mean(name, _possible(machines))}"
    if not PARTS[part]:
        return 0, f"'{part}-' scripts are not built in this version"
    if machines is not None and machine not in machines:
        return 0, f"there is no machine '{machine}'{did_you_mean(machine, machines)}"
    return None


def _possible(machines: Collection[str] | None) -> Iterator[str]:
    return (f"{part}-{machine}" for part, built in PARTS.items() if built for machine in machines or ("MACHINE",))


def _content_fault(path: Path) -> Wrong | None:
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return 0, f"is no file of at most {MOST_BYTES} bytes"
    try:
        script = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return 0, "is not UTF-8 text"
    if not script.startswith("#!/"):
        return 1, "does not say what runs it; begin with a line such as #!/bin/sh"
    return None


def _second(part: str, step: str, found: dict[str, list[Check]]) -> Wrong | None:
    other = next((script.machine for script in found["check"] if script.step == step), None)
    if part != "check" or other is None:
        return None
    return 0, f"a second check for step '{step}' (beside check-{other}) is not built in this version"
