"""`labkit images`: what labs' machines are made of. Built from Debian packages, imported, exported, pushed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from labkit import images as builder
from labkit.commands.output import ago, as_json, print_json, print_table
from labkit.errors import SetupError
from labkit.folders import make_private
from labkit.settings import Settings, load

_FAST_ENOUGH = 20e6  # instructions a second under KVM, by which the engine judges, too
_SIZES = {"Mi": 2**20, "Gi": 2**30}
no_try = click.option("--no-try", is_flag=True, help="Do not boot a VM image to see that it does.")
tls_verify = click.option("--tls-verify/--no-tls-verify", default=True, help="Demand a good TLS certificate.")


@click.group()
def images() -> None:
    """What labs' machines are made of: images of VMs and containers.

    \b
    Images that labkit builds from Debian packages by name:
      tiny           VM of busybox; boots in seconds, terminal and SSH
      terminal       VM with systemd, cloud-init, SSH, web terminal, the usual tools
      desktop        terminal with a graphical desktop, a browser and an editor
      web            container with a small web server, and a web terminal if asked
      base-terminal  container with a web terminal, to build on
      base-desktop   container with a desktop over VNC, to build on

    \b
    An image of your own is a folder with an image.yaml:
      name: mine
      kind: vm
      base: terminal
      packages: [nginx-light]
      files: [{path: /var/www/html/index.html, source: index.html}]
      services: [{name: nginx}]
    Then: labkit images build FOLDER
    The embedded engine knows it as localhost/labkit/mine; for a cluster, push it to a registry.

    Each build is kept beside the older ones, so labs that run keep the image they began with. What is built is decided
    by the lock file beside image.yaml (versions and checksums of all packages); --update-lock takes today's.

    How to build one, step by step: docs/how-to/build-an-image.md. All keys: docs/reference/images.md.
    """


@images.command()
@click.argument("name", default="tiny", metavar="[NAME|FOLDER]")
@click.option("--locked", is_flag=True, help="Refuse where a package of the lock is no longer to be had.")
@click.option("--update-lock", is_flag=True, help="First choose Debian's newest packages for the lock file.")
@no_try
def build(name: str, locked: bool, update_lock: bool, no_try: bool) -> None:
    """Build an image (tiny, or another by name, or a folder with an image.yaml), or say that it is there already."""
    settings = _settings()
    with _working() as say:
        if update_lock:
            for line in builder.refresh_lock(name, progress=say).lines():
                say(line)
        built = builder.build(
            name,
            images_dir=settings.images_dir,
            cache_dir=settings.cache_dir / "packages",
            progress=say,
            strict=locked,
            boot=None if no_try else _boot(settings),
        )
    click.echo(f"Image {built.name} is built: {built.path} ({_mebibytes(built.size)})")


@images.command(name="list")
@as_json
def list_images(as_json: bool) -> None:
    """List the images on this machine."""
    found = builder.installed(load().images_dir)
    if as_json:
        print_json([_plain(image) for image in found])
        return
    rows = [(i.name, i.kind, i.digest[:16], _mebibytes(i.size), ago(i.built.timestamp())) for i in found]
    missing = sorted({*builder.names()} - {image.name for image in found})
    headings = ("IMAGE", "KIND", "DIGEST", "SIZE", "AGE")
    print_table(headings, rows, empty="No images. Build one: labkit images build tiny")
    if found and missing:
        click.echo(f"Can be built: {', '.join(missing)}", err=True)


@images.command()
@click.argument("name")
@as_json
def show(name: str, as_json: bool) -> None:
    """Show an image: all its builds here, and which disks of labs lie on them."""
    settings = load()
    found = builder.builds(name, settings.images_dir)
    if not found:
        raise SetupError(f"No image named '{name}' is here: see 'labkit images list'.")
    data = [{**_plain(i), "used_by": [str(d) for d in builder.users(i, settings.state_dir)]} for i in found]
    if as_json:
        print_json(data)
        return
    for number, build in enumerate(data):
        click.echo(f"{name} {build['digest'][:16]}{' (current)' if number == 0 else ''}")
        for key in ("kind", "size", "packages", "built", "path", "used_by"):
            value = "\n           ".join(build[key]) or "no lab" if key == "used_by" else build[key]
            click.echo(f"  {key + ':':<10}{value}")


@images.command()
@click.argument("name")
@click.option("--old", is_flag=True, help="Only builds that are no longer current and that no lab uses.")
@click.option("--force", is_flag=True, help="Even where disks of labs lie on it; those labs are lost.")
def remove(name: str, old: bool, force: bool) -> None:
    """Delete an image. Refused while disks of labs lie on it."""
    settings = load()
    with _refusals():
        freed = builder.remove(name, settings.images_dir, settings.state_dir, old_only=old, force=force)
    click.echo(f"{'Old builds' if old else 'All'} of {name} are deleted: {_mebibytes(freed)} are free again.")


@images.command(name="try")
@click.argument("name")
@click.option("--seconds", default=600.0, show_default=True, help="When to give up.")
def try_image(name: str, seconds: float) -> None:
    """Boot a VM image once, and say by what it showed that it is up. Nothing is written to it."""
    settings = load()
    image = _known(name, settings)
    if image.kind != "vm":
        raise SetupError(f"{name} is a container image: only VM images boot.")
    with _working() as say:
        say(f"booting {name}")
        seen = builder.boots(image.disk, _boot(settings, seconds), f"The image {name}")
    click.echo(f"Image {name} boots. It said: {seen}")


@images.command(name="import")
@click.argument("source")
@click.argument("name")
@click.option("--sha256", default="", help="The checksum that SOURCE must have; needed for http(s) addresses.")
@click.option("--size", default="", help="Make the disk this large, for example 20Gi; the guest must grow into it.")
@no_try
@tls_verify
def import_image(source: str, name: str, sha256: str, size: str, no_try: bool, tls_verify: bool) -> None:
    """Take SOURCE in as the image NAME.

    \b
    SOURCE is one of:
      a file          a QCOW2 or raw disk
      https://…       the same from elsewhere; wants --sha256
      docker://REGISTRY/REPOSITORY:TAG, oci:FOLDER:TAG, oci-archive:FILE, docker-archive:FILE
                      a containerDisk becomes a VM image, anything else a container image
    A disk that is damaged, that refers to other files, or that does not boot is refused.
    """
    settings = _settings()
    with _working() as say:
        taken = builder.take(
            source,
            name,
            images_dir=settings.images_dir,
            sha256=sha256,
            size=_bytes(size),
            boot=None if no_try else _boot(settings),
            tls_verify=tls_verify,
            progress=say,
        )
    click.echo(f"Image {name} ({taken.kind}) is here: {taken.path} ({_mebibytes(taken.size)})")


@images.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(builder.FORMATS), default=builder.FORMATS[0], show_default=True)
def export(name: str, file: Path, form: str) -> None:
    """Write the image NAME to FILE: a VM as a KubeVirt containerDisk (or its disk as qcow2), a container as it is."""
    with _working() as say:
        builder.give(_known(name, load()), file, form, say)
    click.echo(f"{name} is written to {file} ({_mebibytes(file.stat().st_size)})")


@images.command()
@click.argument("name")
@click.argument("registry")
@click.option("--tag", default="latest", show_default=True)
@tls_verify
def push(name: str, registry: str, tag: str, tls_verify: bool) -> None:
    """Push the image NAME to REGISTRY (host[:port][/path]); a VM as a KubeVirt containerDisk.

    Sign in before with 'skopeo login': labkit takes no password.
    """
    with _working() as say:
        reference = builder.push(_known(name, load()), registry, tag, say, tls_verify=tls_verify)
    click.echo(f"{name} is pushed: {reference}")


@images.command()
@click.argument("name", default="tiny")
def lock(name: str) -> None:
    """Choose the newest packages for an image's lock file, and print what changes."""
    with _working() as say:
        difference = builder.refresh_lock(name, progress=say)
    click.echo("\n".join(difference.lines() or ["nothing has changed"]))


def _settings() -> Settings:
    settings = load()
    make_private(settings.state_dir)
    return settings


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except builder.ImageError as error:
        raise SetupError(str(error)) from error


@contextmanager
def _working() -> Iterator[Callable[[str], None]]:
    """Each step as a line on standard error; in a terminal the one that is being done moves."""
    console = Console(stderr=True, highlight=False, markup=False)
    with _refusals(), console.status("") as status:

        def say(text: str) -> None:
            console.print(text)
            status.update(text)

        yield say


def _boot(settings: Settings, seconds: float = 600.0) -> builder.Boot:
    """The accelerator as the engine judges it: it is asked as a process of its own."""
    word = settings.accel
    if word == "auto":
        command = [sys.executable, "-m", "labkit.local.qemu.accel"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        word = "kvm" if done.returncode == 0 and _rate(done.stdout) > _FAST_ENOUGH else "tcg"
    return builder.Boot(word, seconds)


def _rate(text: str) -> float:
    match = re.match(r"[\d.eE+]+", text.strip())
    return float(match.group()) if match else 0.0


def _known(name: str, settings: Settings) -> builder.BuiltImage:
    found = builder.find(name, settings.images_dir)
    if found is None:
        raise SetupError(f"No image named '{name}' is here: see 'labkit images list', or build it.")
    return found


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)(Mi|Gi)", text)
    if text and not match:
        raise SetupError(f"'{text}' is no size; write for example --size 20Gi")
    return int(match[1]) * _SIZES[match[2]] if match else 0


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _plain(image: builder.BuiltImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "kind": image.kind,
        "digest": image.digest,
        "path": str(image.path),
        "size": image.size,
        "built": image.built.isoformat(),
        "packages": image.packages,
    }
