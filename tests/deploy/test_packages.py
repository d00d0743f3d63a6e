"""The list of Debian packages that `make` installs names all that the parts say they need."""

from pathlib import Path

from labkit.images import BUILD_PACKAGES
from labkit.local import DEBIAN_PACKAGES

LIST = Path(__file__).parent.parent.parent / "deploy/debian-packages.txt"


def test_every_package_that_the_engine_and_the_image_build_need_is_installed_by_make() -> None:
    lines = [line.split("#")[0].split() for line in LIST.read_text().splitlines()]
    listed = {words[0] for words in lines if words}
    assert {*BUILD_PACKAGES, *DEBIAN_PACKAGES} <= listed
