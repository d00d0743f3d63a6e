"""One engine for all tests of containers, with an image made here; a small lab in it that tests only look at."""

from __future__ import annotations

import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import settings
from tests.support.containers import WEB, Box, container, oci_layout, pod
from tests.support.engine import EngineProcess, headless_service, namespace, running_engine, until

AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="an ordinary user's containers have one id and no control group")


@pytest.fixture(scope="package")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images ``box`` and ``tiny``."""
    folder = tmp_path_factory.mktemp("images")
    oci_layout(folder / "box" / "1" / "oci")
    (folder / "box" / "current").symlink_to("1")
    (folder / "tiny").symlink_to(settings.load().images_dir / "tiny")
    return folder


@pytest.fixture(scope="package")
def silent() -> Iterator[str]:
    """A registry that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="package")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's docker-registry on loopback, without TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("registry")
    storage = f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\n"
    (folder / "config.yml").write_text(f"{storage}http: {{addr: '{where}'}}\nlog: {{level: error}}\n")
    process = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stderr=subprocess.DEVNULL)
    until(lambda: subprocess.run(["bash", "-c", f": > /dev/tcp/{where.replace(':', '/')}"], stderr=-3).returncode == 0)
    yield where
    process.kill()
    process.wait()


@pytest.fixture(scope="package")
def boxes(images: Path, registry: str, silent: str) -> Iterator[EngineProcess]:
    """An engine with those images, which trusts two registries without TLS."""
    file = images / ".config" / "containers" / "registries.conf"
    file.parent.mkdir(parents=True)
    file.write_text("".join(f'[[registry]]\nlocation = "{where}"\ninsecure = true\n' for where in (registry, silent)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(images))
        with running_engine(images) as found:
            yield found
            found.request("DELETE", "/api/v1/namespaces/lab")
            until(lambda: not found.processes() and not found.leftovers(), 60)


@pytest.fixture
def box(boxes: EngineProcess) -> Iterator[Box]:
    """A namespace of its own, emptied afterwards."""
    name = f"c-{uuid.uuid4().hex[:8]}"
    boxes.request("POST", "/api/v1/namespaces", namespace(name))
    yield Box(boxes, name)
    boxes.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="package")
def lab(boxes: EngineProcess) -> Box:
    """A lab with a pod ``web``, which serves a page by its name, and a pod ``client``."""
    found = Box(boxes, "lab")
    boxes.request("POST", "/api/v1/namespaces", namespace("lab"))
    found.post(headless_service("web", "lab"), pod("web", container(WEB)), pod("client"))
    found.wait("web")
    found.wait("client")
    until(lambda: "here" in found.sh("client", "timeout 3 wget -qO- web"))
    return found
