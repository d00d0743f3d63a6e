"""`labkit images`: the machine images that labkit builds from Debian packages."""

from __future__ import annotations

import click

from labkit import images as builder
from labkit.commands.output import ago, as_json, print_json, print_table
from labkit.errors import SetupError
from labkit.folders import make_private
from labkit.settings import load


@click.group()
def images() -> None:
    """Machine images, built from Debian packages."""


@images.command()
@click.argument("name", default="tiny")
@click.option("--locked", is_flag=True, help="Refuse where a package of the lock is no longer to be had.")
def build(name: str, locked: bool) -> None:
    """Build an image (tiny), or say that it is built already."""
    settings = load()
    make_private(settings.state_dir)
    try:
        built = builder.build(
            name,
            images_dir=settings.images_dir,
            cache_dir=settings.cache_dir / "packages",
            progress=lambda text: click.echo(text, err=True),
            strict=locked,
        )
    except builder.ImageError as error:
        raise SetupError(str(error)) from error
    click.echo(f"Image {built.name} is built: {built.disk} ({built.size / 2**20:.1f} MiB)")


@images.command(name="list")
@as_json
def list_images(as_json: bool) -> None:
    """List the images built on this machine."""
    found = builder.installed(load().images_dir)
    if as_json:
        print_json(
            [
                {"name": i.name, "digest": i.digest, "disk": str(i.disk), "size": i.size, "built": i.built.isoformat()}
                for i in found
            ]
        )
        return
    rows = [(i.name, i.digest[:16], f"{i.size / 2**20:.1f} MiB", ago(i.built.timestamp())) for i in found]
    print_table(("IMAGE", "DIGEST", "SIZE", "AGE"), rows, empty="No images. Build one: labkit images build tiny")


@images.command()
@click.argument("name", default="tiny")
def lock(name: str) -> None:
    """Choose the newest packages for an image's lock file, and print what changes."""
    try:
        difference = builder.refresh_lock(name, progress=lambda text: click.echo(text, err=True))
    except builder.ImageError as error:
        raise SetupError(str(error)) from error
    click.echo(str(difference))
