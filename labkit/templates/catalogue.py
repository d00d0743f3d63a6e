"""The images that labkit builds itself, by the name that `image: {bundled: NAME}` uses. A new image is a new row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from labkit.errors import NotFound
from labkit.wording import did_you_mean

MIB = 1 << 20


@dataclass(frozen=True)
class BundledImage:
    """An image of labkit's own: what its guest offers.

    `ports` are the guest's TCP ports by service (`terminal`: ttyd, `ssh`); `minimum_memory` is in bytes; `type` is that
    of the machines it is for.
    """

    name: str
    title: str
    minimum_memory: int
    ports: Mapping[str, int] = field(default_factory=dict)
    type: str = "vm"


CATALOGUE = (
    BundledImage(
        name="tiny",
        title="A small Linux made of busybox, which starts in seconds",
        minimum_memory=256 * MIB,
        ports={"terminal": 7681, "ssh": 22},
    ),
    BundledImage(
        name="terminal",
        title="Debian with systemd, SSH, a terminal in the browser, and the usual tools",
        minimum_memory=512 * MIB,
        ports={"terminal": 7681, "ssh": 22},
    ),
    BundledImage(
        name="desktop",
        title="A light desktop with a browser, an editor, files and a terminal",
        minimum_memory=1024 * MIB,
        ports={"terminal": 7681, "ssh": 22},
    ),
    BundledImage(
        name="web",
        title="A small web server that serves /srv/www, with a terminal where it is asked for",
        minimum_memory=32 * MIB,
        ports={"terminal": 7681, "http": 80},
        type="container",
    ),
    BundledImage(
        name="base-terminal",
        title="Debian in a container, with a terminal",
        minimum_memory=64 * MIB,
        ports={"terminal": 7681},
        type="container",
    ),
    BundledImage(
        name="base-desktop",
        title="A light desktop in a container, over VNC, with a terminal",
        minimum_memory=512 * MIB,
        ports={"terminal": 7681, "vnc": 5900},
        type="container",
    ),
)


def bundled_image(name: str) -> BundledImage:
    """The bundled image called `name`. Raises NotFound, naming the nearest."""
    for image in CATALOGUE:
        if image.name == name:
            return image
    raise NotFound(f"there is no bundled image '{name}'{did_you_mean(name, (image.name for image in CATALOGUE))}")
