"""web is built from its lock, and runs: in a chroot here, in a container of a lab elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from bare_machine import free_port, wait_for

from labkit import images


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> images.BuiltImage:
    return images.build("web", images_dir=tmp_path_factory.mktemp("web"), cache_dir=cache_dir)


@pytest.fixture(scope="module")
def rootfs(web: images.BuiltImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked") / "rootfs"
    command = ["umoci", "raw", "unpack", "--rootless", "--image", f"{web.oci}:latest", folder]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@contextmanager
def running(rootfs: Path, **environment: str) -> Iterator[None]:
    own = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *own, "--pid", "--fork", "--kill-child", "chroot", rootfs, "/usr/lib/labkit/start"]
    process = subprocess.Popen(command, env={"PATH": "/usr/sbin:/usr/bin", **environment})
    try:
        yield
    finally:
        process.kill()
        process.wait()


def page(port: int) -> str | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            return str(answer.read().decode())
    except OSError:
        return None


def test_the_image_is_small_and_says_what_it_runs(web: images.BuiltImage) -> None:
    assert (web.kind, web.size < 20e6) == ("container", True)
    shown = subprocess.run(
        ["skopeo", "inspect", "--config", f"oci:{web.oci}:latest"], check=True, capture_output=True, text=True
    )
    config = json.loads(shown.stdout)["config"]
    assert config["Cmd"] == ["/usr/lib/labkit/start"]
    assert set(config["ExposedPorts"]) == {"80/tcp", "7681/tcp"}


def test_the_same_lock_makes_the_same_image(web: images.BuiltImage, tmp_path: Path, cache_dir: Path) -> None:
    assert images.build("web", images_dir=tmp_path, cache_dir=cache_dir).digest == web.digest


def test_a_second_build_finds_nothing_to_do(web: images.BuiltImage, tmp_path: Path) -> None:
    assert images.build("web", images_dir=web.folder.parent.parent, cache_dir=tmp_path / "empty") == web


def test_a_container_image_travels_as_it_is_and_its_checksum_counts(web: images.BuiltImage, tmp_path: Path) -> None:
    take = partial(images.take, images_dir=tmp_path / "images", boot=None, progress=lambda _: None)
    images.give(web, tmp_path / "web.tar", "oci-archive", lambda _: None)
    address = f"oci-archive:{tmp_path / 'web.tar'}"
    assert take(address, "back", sha256=web.digest).kind == "container"
    with pytest.raises(images.DiskRefused, match="is not what its checksum says"):
        take(address, "back", sha256="0" * 64)


def test_nothing_of_the_building_machine_is_in_it(rootfs: Path) -> None:
    assert not (rootfs / "etc/resolv.conf").exists()
    assert (rootfs / "etc/hostname").read_text() == ""
    assert (rootfs / "etc/apt/sources.list").read_text() == ""


def test_it_serves_its_page(rootfs: Path) -> None:
    port = free_port()
    with running(rootfs, PORT=str(port)):
        assert "It works." in wait_for("the page", lambda: page(port))
