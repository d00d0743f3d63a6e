"""The folder `checks/`: one folder a step, in it scripts for the machines that they run in.

checks/STEP/check-MACHINE    decides the step; where there are several, all have to pass
checks/STEP/check.py         decides it too, from beside the lab: over several machines, or from outside
checks/STEP/setup-MACHINE    prepares it, once, when the lab has started
checks/STEP/solve-MACHINE    does it, for those who try the lab out
checks/STEP/cleanup-MACHINE  puts away what it needed, each time it is passed
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from labkit.errors import Fault
from labkit.templates.files import MOST_BYTES
from labkit.templates.schema import BESIDE, Conduct, Script
from labkit.wording import did_you_mean

PARTS = ("check", "setup", "solve", "cleanup")
"""The words before `-MACHINE` in a file's name."""
PROGRAM = "check.py"

Scripts = dict[str, tuple[Script, ...]]
"""Scripts by the word that their names begin with, sorted by step and machine."""


def step_folders(folder: Path) -> list[Path]:
    """The folders of `checks/`, one for each checked step, sorted."""
    checks = folder / "checks"
    return sorted(path for path in checks.iterdir() if _visible(path) and path.is_dir()) if checks.is_dir() else []


def read_scripts(
    folder: Path, machines: Collection[str] | None, conducts: Mapping[str, Conduct] | None = None
) -> tuple[Scripts, list[Fault]]:
    """The scripts, and what is wrong in the folder. `machines` None: not known, nothing said about them.

    `conducts`: how the scripts of a step are run, where lab.yaml says so.
    """
    found: dict[str, list[Script]] = {part: [] for part in PARTS}
    faults = [
        Fault(f"checks/{path.name}", 0, "stands outside of a step's folder; put it into checks/STEP/")
        for path in sorted((folder / "checks").glob("*"))
        if _visible(path) and not path.is_dir()
    ]
    for step in step_folders(folder):
        conduct = (conducts or {}).get(step.name, Conduct())
        for path in (path for path in sorted(step.iterdir()) if _visible(path)):
            part, machine = ("check", BESIDE) if path.name == PROGRAM else _parts(path.name)
            if wrong := _name_fault(path.name, machines) or _content_fault(path):
                faults.append(Fault(f"checks/{step.name}/{path.name}", *wrong))
            else:
                found[part].append(Script(step.name, machine, path.read_text(encoding="utf-8"), conduct))
        if not any(path.name.startswith("check") for path in step.iterdir()):
            text = f"holds no check; add check-MACHINE or {PROGRAM}, or remove the folder"
            faults.append(Fault(f"checks/{step.name}", 0, text))
    return {part: tuple(scripts) for part, scripts in found.items()}, faults


def by_step(scripts: Collection[Script]) -> dict[str, tuple[Script, ...]]:
    """Scripts of one kind, by their step."""
    return {step: tuple(s for s in scripts if s.step == step) for step in dict.fromkeys(s.step for s in scripts)}


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")


Wrong = tuple[int, str]


def _parts(name: str) -> tuple[str, str]:
    part, _, machine = name.partition("-")
    return part, machine


def _name_fault(name: str, machines: Collection[str] | None) -> Wrong | None:
    part, machine = _parts(name)
    if name == PROGRAM:
        return None
    if "-" not in name or part not in PARTS:
        return 0, f"'{name}' is not known here{did_you_mean(name, _possible(machines))}"
    if machines is not None and machine not in machines:
        return 0, f"there is no machine '{machine}'{did_you_mean(machine, machines)}"
    return None


def _possible(machines: Collection[str] | None) -> Iterator[str]:
    yield PROGRAM
    yield from (f"{part}-{machine}" for part in PARTS for machine in machines or ("MACHINE",))


def _content_fault(path: Path) -> Wrong | None:
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return 0, f"is no file of at most {MOST_BYTES} bytes"
    try:
        script = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return 0, "is not UTF-8 text"
    if path.name == PROGRAM:
        return _python_fault(script)
    if not script.startswith("#!/"):
        return 1, "does not say what runs it; begin with a line such as #!/bin/sh"
    return None


def _python_fault(script: str) -> Wrong | None:
    try:
        ast.parse(script)
    except (SyntaxError, ValueError) as error:
        return getattr(error, "lineno", 0) or 0, f"is no Python: {getattr(error, 'msg', error)}"
    return None
