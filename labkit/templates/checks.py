"""The folder `checks/`: one folder a step, in it a script for the machine that it runs in.

    checks/STEP/check-MACHINE

What a file's name may begin with is the table `PARTS`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from labkit.errors import Fault
from labkit.templates.files import MOST_BYTES
from labkit.templates.schema import Check
from labkit.wording import did_you_mean

PARTS = {"check": True, "solve": False, "setup": False, "cleanup": False}
"""The words before `-MACHINE` in a file's name, and whether this version runs such a script."""


def step_folders(folder: Path) -> list[Path]:
    """The folders of `checks/`, one for each checked step, sorted."""
    checks = folder / "checks"
    return sorted(path for path in checks.iterdir() if _visible(path) and path.is_dir()) if checks.is_dir() else []


def read_checks(folder: Path, machines: Collection[str] | None) -> tuple[dict[str, Check], list[Fault]]:
    """The checks by step, and what is wrong in the folder. `machines` None: not known, nothing said about them."""
    checks: dict[str, Check] = {}
    faults = [
        Fault(f"checks/{path.name}", 0, "stands outside of a step's folder; put it into checks/STEP/")
        for path in sorted((folder / "checks").glob("*"))
        if _visible(path) and not path.is_dir()
    ]
    for step in step_folders(folder):
        scripts = [path for path in sorted(step.iterdir()) if _visible(path)]
        for path in scripts:
            wrong = _name_fault(path.name, machines) or _content_fault(path) or _second(step.name, path.name, checks)
            if wrong:
                faults.append(Fault(f"checks/{step.name}/{path.name}", *wrong))
            else:
                machine = path.name.removeprefix("check-")
                checks[step.name] = Check(step.name, machine, path.read_text(encoding="utf-8"))
        if not scripts:
            faults.append(Fault(f"checks/{step.name}", 0, "holds no check; add check-MACHINE, or remove the folder"))
    return checks, faults


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


def _second(step: str, name: str, checks: dict[str, Check]) -> Wrong | None:
    if step not in checks:
        return None
    return 0, f"a second check for step '{step}' (beside check-{checks[step].machine}) is not built in this version"
