"""Debian packages through this machine's own apt: where the mirror is, which versions there are, and fetching them.

The mirror's host is never written down: it is read from apt's configuration, and everything goes through apt's
own tools, so that proxies and credentials set up there apply.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from labkit.images.errors import ImageError, MirrorUnknown, PackageCorrupt, PackageVanished, RecipeBroken, ToolFailed
from labkit.images.lock import Lock, LockedPackage
from labkit.images.recipe import Recipe, Suite
from labkit.images.tools import run

ARCHITECTURE = "amd64"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
AT_ONCE = 50
APT_HELPER = "/usr/lib/apt/apt-helper"


def mirror() -> str:
    """Address of the Debian mirror that apt on this machine uses. Raises MirrorUnknown."""
    # The security archive has the same origin but another label.
    listing = run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(SITE)"])
    for line in listing.splitlines():
        origin, label, site = line.split("|", 2)
        if origin == "Debian" and label == "Debian":
            return site.rstrip("/")
    raise MirrorUnknown(
        "apt on this machine knows no Debian mirror: add one to its sources, run 'apt-get update', and try again."
    )


def public_mirror() -> str:
    """The same address as it may stand in an image: without the name and password that may be part of it."""
    parts = urlsplit(mirror())
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def resolve_all(image: str, suite: str, packages: Iterable[str]) -> Lock:
    """Lock packages (patterns of apt, too) and all that they depend on, as apt itself resolves it."""
    with tempfile.TemporaryDirectory(prefix="labkit-apt-") as folder:
        options = _private_apt(suite, mirror(), Path(folder) / suite)
        run(["apt-get", *options, "update"])
        try:
            plan = run(["apt-get", *options, "install", "--simulate", "--no-install-recommends", *packages])
        except ToolFailed as error:
            faults = [line.removeprefix("E: ") for line in error.output.splitlines() if line.startswith("E: ")]
            raise RecipeBroken(f"Debian {suite} cannot give {image} its packages: {'; '.join(faults)}.") from error
        names = re.findall(r"^Inst (\S+)", plan, re.MULTILINE)
        stanzas = run(["apt-cache", *options, "show", "--no-all-versions", *names]).split("\n\n")
    return Lock.of(image, (_locked(_fields(stanza), suite) for stanza in stanzas if stanza.strip()))


def resolve(recipe: Recipe) -> Lock:
    """Ask the mirror for the newest versions of all packages of a recipe, signatures checked."""
    site = mirror()
    with tempfile.TemporaryDirectory(prefix="labkit-apt-") as folder:
        packages = [package for suite in recipe.suites for package in _resolve(suite, site, Path(folder) / suite.name)]
    return Lock.of(recipe.name, packages)


def _resolve(suite: Suite, site: str, root: Path) -> Iterator[LockedPackage]:
    options = _private_apt(suite.name, site, root)
    run(["apt-get", *options, "update"])
    seen = set(suite.ignore)
    wanted = list(suite.packages)
    while wanted:
        seen |= set(wanted)
        stanzas = run(["apt-cache", *options, "show", "--no-all-versions", *wanted]).split("\n\n")
        found = [_fields(stanza) for stanza in stanzas if stanza.strip()]
        for fields in found:
            yield _locked(fields, suite.name)
        missing = set(wanted) - {fields["Package"] for fields in found}
        if missing:
            raise RecipeBroken(f"Debian {suite.name} has no package {', '.join(sorted(missing))}: adapt recipe.toml.")
        wanted = sorted({name for fields in found for name in followed(fields, suite.follow)} - seen)


def _locked(fields: dict[str, str], suite: str) -> LockedPackage:
    return LockedPackage(
        name=fields["Package"],
        version=fields["Version"],
        architecture=fields["Architecture"],
        suite=suite,
        path=fields["Filename"],
        size=int(fields["Size"]),
        sha256=fields["SHA256"],
    )


def _private_apt(suite: str, site: str, root: Path) -> list[str]:
    """An apt of our own in `root`: nothing of the machine's packages is read or changed."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (root / part).mkdir(parents=True)
    (root / "status").touch()
    sources = root / "debian.sources"
    sources.write_text(
        f"Types: deb\nURIs: {site}\nSuites: {suite}\nComponents: main\n"
        f"Architectures: {ARCHITECTURE}\nTargets: Packages\nSigned-By: {KEYRING}\n"
    )
    # A testing suite's Release file is valid for days only, and mirrors may lag; its signature is checked all the same.
    settings = {
        "Dir::State": root / "state",
        "Dir::State::status": root / "status",
        "Dir::Cache": root / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Architecture": ARCHITECTURE,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Check-Valid-Until": "false",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _fields(stanza: str) -> dict[str, str]:
    """The one-line fields of a Debian control stanza."""
    return dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", stanza, re.MULTILINE))


def followed(fields: dict[str, str], prefixes: tuple[str, ...]) -> list[str]:
    """Names of the dependencies in a stanza that start with one of the prefixes; of alternatives the first counts."""
    clauses = ", ".join(fields[key] for key in ("Depends", "Pre-Depends") if key in fields)
    firsts = [re.match(r"[a-z0-9.+-]+", clause.strip()) for clause in clauses.split(",")]
    return [match.group() for match in firsts if match and match.group().startswith(prefixes)]


def fetch(lock: Lock, folder: Path, progress: Callable[[str], None] | None = None) -> dict[str, Path]:
    """Bring the locked packages into `folder`, from where they come the next time; returns name -> file.

    Raises PackageVanished, PackageCorrupt or ImageError (the mirror does not answer).
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {package.name: folder / package.cache_name for package in lock.packages}
    absent = [package for package in lock.packages if not _intact(files[package.name], package)]
    if absent:
        for start in range(0, len(absent), AT_ONCE):
            part = absent[start : start + AT_ONCE]
            complaints = _download(part, folder)
            for package in part:
                _accept(package, files[package.name], complaints)
            if progress and len(absent) > AT_ONCE:
                progress(f"fetched {start + len(part)} of {len(absent)} packages")
    return files


def _download(packages: Iterable[LockedPackage], folder: Path) -> str:
    """Fetch what can be fetched; returns apt's complaints about the rest."""
    site = mirror()
    command: list[str | Path] = [APT_HELPER, "-o", "APT::Sandbox::User=root", "download-file"]
    for package in packages:
        target = folder / f"{package.cache_name}.part"
        target.unlink(missing_ok=True)
        command += [f"{site}/{package.path}", target, f"SHA256:{package.sha256}"]
    try:
        run(command)
    except ToolFailed as error:
        return error.output
    return ""


def _accept(package: LockedPackage, target: Path, complaints: str) -> None:
    """Move a fetched package to its place, or say why it cannot be used."""
    part = target.with_name(f"{target.name}.part")
    refused = part.with_name(f"{part.name}.FAILED")
    title = f"{package.name} {package.version}"
    remedy = "'labkit images lock' makes a lock of what Debian has now"
    if _intact(part, package):
        part.replace(target)
        return
    if part.exists() or refused.exists():
        part.unlink(missing_ok=True)
        refused.unlink(missing_ok=True)
        raise PackageCorrupt(
            f"The package {title} as sent does not have the SHA-256 of the lock and is not used; if it happens again, "
            f"{remedy}."
        )
    file = package.path.rpartition("/")[2]
    if any(file in line and "404" in line for line in complaints.splitlines()):
        raise PackageVanished(f"Debian {package.suite} no longer has {title}; {remedy}.")
    raise ImageError(f"The package {title} could not be fetched: check the network and apt's configuration.")


def _intact(path: Path, package: LockedPackage) -> bool:
    if not path.is_file() or path.stat().st_size != package.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == package.sha256
