"""What is kept, and how it changes: each change is one renaming, so that nobody ever sees half of it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import Conflict, Invalid, NotFound
from labkit.instructions import load_pages, render
from labkit.linting import lint
from labkit.templates import Template, available, load
from labkit.templates.files import digest, files
from labkit.wording import did_you_mean

VERSIONS = ".versions"
MOST_FILES, MOST_SIZE = 2000, 64 << 20
"""How many files and bytes a template may have."""
_YOUNG_SECONDS = 3600.0
"""A version that was just made may belong to a lab whose row is just being written."""


@dataclass(frozen=True)
class StepChanges:
    """Step ids, by what a new version does to them. Ticks and results hang on the id: those of `removed` count no more.

    `changed`: another title, text, number of points, or other scripts.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Added:
    """A template as it now is: `steps` are None where there was none of its name before."""

    name: str
    title: str
    digest: str
    steps: StepChanges | None = None


def add(found: Path, templates_dir: Path, *, replace: bool = False) -> Added:
    """Put the template in the folder `found` under its name. Adding the same content again changes nothing.

    Raises Invalid with every fault, and Conflict where another one of that name is there and `replace` is not said: the
    text names the steps that would be added, removed and changed.
    """
    if faults := lint(found, any_name=True):
        raise Invalid(faults)
    new = load(found)
    place = templates_dir / new.name
    old = _readable(place)
    changes = step_changes(old, new) if old else None
    if old and old.digest != new.digest and not replace:
        raise Conflict(f"template '{new.name}' is there already, with other content ({_told(changes)}); say --replace")
    kept = keep(new, templates_dir)
    _point(place, kept)
    return Added(new.name, new.title, new.digest, changes)


def _readable(place: Path) -> Template | None:
    try:
        return load(place)
    except (NotFound, Invalid):
        return None


def keep(template: Template, templates_dir: Path) -> Path:
    """The folder of this content among the versions, made if it is not there. Raises Conflict where it is too large."""
    final = templates_dir / VERSIONS / template.digest
    if final.is_dir():
        os.utime(final)
        return final
    names = files(template.folder)
    size = sum((template.folder / name).lstat().st_size for name in names)
    if len(names) > MOST_FILES or size > MOST_SIZE:
        raise Conflict(
            f"template '{template.name}' has {len(names)} files, {size} bytes; {MOST_FILES}, {MOST_SIZE} are the most"
        )
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".new-") as half:
        for name in names:
            (Path(half) / "t" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(template.folder / name, Path(half) / "t" / name, follow_symlinks=False)
        try:
            (Path(half) / "t").rename(final)
        except OSError:
            if not final.is_dir():
                raise
    return final


@contextmanager
def held(templates_dir: Path) -> Iterator[None]:
    """Nobody else who asks for it publishes or removes meanwhile, in any process of this computer."""
    folder = templates_dir / VERSIONS
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def publish(name: str, content: str, templates_dir: Path, *, over: Collection[str]) -> None:
    """Have `name` mean a content that is kept, at once. To do it again changes nothing.

    Raises NotFound where the content is gone, Conflict where the name means another than those of `over`.
    """
    kept = version(templates_dir, content)
    if kept is None:
        raise NotFound(f"what was brought as '{name}' is not kept any more: bring it again")
    only(name, templates_dir, {content, *over})
    os.utime(kept)
    _point(templates_dir / name, kept)


def only(name: str, templates_dir: Path, contents: Collection[str]) -> None:
    """Raises Conflict where `name` means something that is none of these contents."""
    if meant(name, templates_dir) not in {*contents, ""}:
        raise Conflict(f"'{name}' was changed by those who run this service, and is theirs now: take another name")


def meant(name: str, templates_dir: Path) -> str:
    """The content that `name` means in the folder; empty where it means none there."""
    place = templates_dir / name
    return digest(place) if place.exists() else ""


def _point(place: Path, kept: Path) -> None:
    """Make `place` mean `kept`, in one step where it is a link already."""
    target = kept.relative_to(place.parent)
    if place.is_dir() and not place.is_symlink():
        place.rename(kept.with_name(f".{place.name}-{time.time_ns()}"))  # put there by hand: nobody else may have it
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)  # of a process of that number that was killed here
    beside.symlink_to(target)
    beside.replace(place)


def version(templates_dir: Path, content: str) -> Path | None:
    """The folder of a content among the versions, if it is (still) there."""
    folder = templates_dir / VERSIONS / content
    return folder if content and folder.is_dir() else None


def remove(name: str, templates_dir: Path, *, labs: Collection[str]) -> None:
    """Take a template away. Raises Conflict where `labs` of it run, or where it comes with labkit; NotFound."""
    place = templates_dir / name
    own = [row.name for row in available(templates_dir) if row.source == "own"]
    if name not in own:
        if any(row.name == name for row in available(templates_dir)):
            raise Conflict(
                f"template '{name}' comes with labkit; it cannot be removed, only replaced by one of that name"
            )
        raise NotFound(f"there is no template '{name}' of yours{did_you_mean(name, own)}")
    if labs:
        raise Conflict(f"template '{name}' is in use by lab {', '.join(sorted(labs))}; stop what runs first")
    if place.is_symlink():
        place.unlink()
    else:
        shutil.rmtree(place)


def prune(templates_dir: Path, used: Collection[str]) -> list[str]:
    """Remove the versions that no name means and no lab uses (`used`: their contents). Returns what was removed."""
    current = {place.resolve().name for place in templates_dir.glob("*") if place.is_symlink()}
    gone = []
    for folder in sorted((templates_dir / VERSIONS).glob("[!.]*")):
        with suppress(FileNotFoundError):  # somebody else removes it
            if folder.name not in {*current, *used} and time.time() - folder.stat().st_mtime > _YOUNG_SECONDS:
                shutil.rmtree(folder)
                gone.append(folder.name)
    return gone


def step_changes(old: Template, new: Template) -> StepChanges:
    """What becomes of the steps of `old` in `new`."""
    before, after = _steps(old), _steps(new)
    return StepChanges(
        added=_in_order(after, after.keys() - before.keys()),
        removed=_in_order(before, before.keys() - after.keys()),
        changed=tuple(step for step in after if step in before and after[step] != before[step]),
    )


def _in_order(steps: Iterable[str], chosen: Collection[str]) -> tuple[str, ...]:
    return tuple(step for step in steps if step in chosen)


def _steps(template: Template) -> dict[str, object]:
    """Everything that makes a step what it is, by id, in reading order."""
    model = render(load_pages(template.folder), variables={}, checks=template.checks, title="")
    scripts = (*(each for scripts in template.checks.values() for each in scripts), *template.setups)
    return {step.id: (step, [script for script in scripts if script.step == step.id]) for step in model.steps}


def _told(changes: StepChanges | None) -> str:
    words = [f"{word} {', '.join(steps)}" for word, steps in vars(changes or StepChanges()).items() if steps]
    return f"steps {'; '.join(words)}" if words else "no step changes"
