"""Images from elsewhere and to elsewhere; what is refused, and what is in use."""

from __future__ import annotations

import functools
import http.client
import http.server
import json
import struct
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bare_machine import free_port, wait_for

from labkit import images
from labkit.images import oci, store


def say(_: str) -> None:
    """Nobody watches."""


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *words], check=True, capture_output=True)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def take(home: Path) -> Callable[..., images.BuiltImage]:
    return functools.partial(images.take, images_dir=home, boot=None, progress=say)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A disk of random data behind a boot sector."""
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(510) + b"\x55\xaa" + bytes(range(256)) * 4096)
    return path


@pytest.fixture
def whole(tmp_path: Path, raw: Path) -> Path:
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, tmp_path / "whole.qcow2")
    return tmp_path / "whole.qcow2"


Take = Callable[..., images.BuiltImage]


def test_a_raw_disk_becomes_a_qcow2_of_the_size_asked_for(take: Take, raw: Path) -> None:
    image = take(str(raw), "mine", size=64 << 20)
    info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", image.disk]))
    assert (image.kind, info["format"], info["virtual-size"]) == ("vm", "qcow2", 64 << 20)


def test_a_disk_is_not_made_smaller(take: Take, whole: Path) -> None:
    with pytest.raises(images.DiskRefused, match="cannot be made smaller"):
        take(str(whole), "mine", size=1 << 20)


def test_a_layer_on_another_file_is_refused_by_that_file(take: Take, whole: Path, tmp_path: Path) -> None:
    qemu_img("create", "-f", "qcow2", "-b", whole, "-F", "qcow2", tmp_path / "top.qcow2")
    with pytest.raises(images.DiskRefused, match=r"top\.qcow2 is only a layer on top of .*whole\.qcow2: make it whole"):
        take(str(tmp_path / "top.qcow2"), "mine")


def test_a_backing_file_is_found_in_the_header_without_being_opened(take: Take, whole: Path) -> None:
    with whole.open("r+b") as file:
        file.seek(8)
        file.write(struct.pack(">QI", 0x200, 11))
        file.seek(0x200)
        file.write(b"/etc/shadow")
    with pytest.raises(images.DiskRefused, match="a layer on top of /etc/shadow"):
        take(str(whole), "mine")


def test_data_in_another_file_are_refused(take: Take, tmp_path: Path) -> None:
    options = f"data_file={tmp_path / 'data'},data_file_raw=on"
    qemu_img("create", "-f", "qcow2", "-o", options, tmp_path / "mine.qcow2", "1M")
    with pytest.raises(images.DiskRefused, match="keeps its data in another file"):
        take(str(tmp_path / "mine.qcow2"), "mine")


def test_a_disk_that_is_cut_short_is_refused(take: Take, whole: Path) -> None:
    with whole.open("r+b") as file:
        file.truncate(whole.stat().st_size // 2)
    with pytest.raises(images.DiskRefused, match=r"whole\.qcow2 is damaged or cut short"):
        take(str(whole), "mine")


def test_what_is_no_disk_is_refused(take: Take, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>" * 1000)
    with pytest.raises(images.DiskRefused, match="is no disk image: it begins neither as a QCOW2 nor with a boot"):
        take(str(tmp_path / "page.html"), "mine")


def test_a_wrong_checksum_is_refused_and_nothing_stays(take: Take, whole: Path, home: Path) -> None:
    with pytest.raises(images.DiskRefused, match=r"is not what its checksum says: its SHA-256 is [0-9a-f]{64}"):
        take(str(whole), "mine", sha256="0" * 64)
    assert [path.name for path in (home / "mine").iterdir()] == [".lock"]


def test_a_name_that_leaves_the_folder_is_refused(take: Take, whole: Path) -> None:
    with pytest.raises(images.ImageError, match=r'"\.\./mine" is no name'):
        take(str(whole), "../mine")


@pytest.fixture
def address(whole: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(whole.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{whole.name}"
        server.shutdown()
        thread.join()


def test_a_disk_from_the_network_wants_its_checksum(take: Take, address: str, whole: Path) -> None:
    with pytest.raises(images.DiskRefused, match="give its checksum with --sha256"):
        take(address, "mine")
    assert take(address, "mine", sha256=store.sha256(whole)).digest == store.sha256(whole)
    with pytest.raises(images.ImageError, match=r"nowhere cannot be fetched: "):
        take(f"{address}/nowhere", "mine", sha256="0" * 64)


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_a_disk_travels_as_a_container_disk_and_comes_back(take: Take, whole: Path, tmp_path: Path, form: str) -> None:
    sent = take(str(whole), "mine")
    images.give(sent, tmp_path / "out.tar", form, say)
    assert take(f"{form}:{tmp_path / 'out.tar'}", "back").digest == sent.digest


def test_a_container_disk_is_as_kubevirt_wants_it(take: Take, whole: Path, tmp_path: Path) -> None:
    layout = oci.make_container_disk(take(str(whole), "mine").disk, tmp_path)
    manifest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"].partition(":")[2]
    layer = json.loads((layout / "blobs/sha256" / manifest).read_text())["layers"][0]["digest"].partition(":")[2]
    with tarfile.open(layout / "blobs/sha256" / layer) as archive:
        found = [(entry.name, entry.uid, entry.gid, entry.mode) for entry in archive]
    assert found == [("disk", 107, 107, 0o755), ("disk/disk.qcow2", 107, 107, 0o440)]


def test_an_export_does_not_write_over_a_file(take: Take, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    with pytest.raises(images.ImageError, match="is there already"):
        images.give(take(str(whole), "mine"), tmp_path / "there", "qcow2", say)
    assert (tmp_path / "there").read_text() == "precious"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Debian's docker-registry on loopback, without TLS."""
    port = free_port()
    (tmp_path / "registry.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path / 'registry'}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
    )
    command = ["docker-registry", "serve", tmp_path / "registry.yml"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("the registry", lambda: _answers(port))
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 200 or None
    except OSError:
        return None
    finally:
        connection.close()


def test_an_image_is_pushed_to_a_registry_and_comes_back(take: Take, whole: Path, registry: str) -> None:
    sent = take(str(whole), "mine")
    reference = images.push(sent, f"{registry}/course", "v1", say, tls_verify=False)
    assert reference == f"{registry}/course/mine:v1"
    assert take(f"docker://{reference}", "back", tls_verify=False).digest == sent.digest


def test_a_registry_without_tls_is_refused_unless_allowed(take: Take, whole: Path, registry: str) -> None:
    with pytest.raises(images.ToolFailed, match=r"cannot be copied to docker://.*HTTPS"):
        images.push(take(str(whole), "mine"), registry, "latest", say)


def test_an_image_is_not_removed_while_a_lab_lies_on_it(take: Take, whole: Path, home: Path, tmp_path: Path) -> None:
    image = take(str(whole), "mine")
    (tmp_path / "state/labs").mkdir(parents=True)
    overlay = tmp_path / "state/labs/disk.qcow2"
    qemu_img("create", "-f", "qcow2", "-b", image.disk, "-F", "qcow2", overlay)
    assert images.users(image, tmp_path / "state") == [overlay]
    with pytest.raises(images.ImageInUse, match=r"is used by disks of labs \(.*; 1 in all\): end these labs first"):
        images.remove("mine", home, tmp_path / "state")
    overlay.unlink()
    assert images.remove("mine", home, tmp_path / "state") == image.size
    assert images.installed(home) == []


def test_an_upgrade_leaves_what_runs_and_old_builds_go_when_nobody_uses_them(
    take: Take, whole: Path, home: Path, tmp_path: Path
) -> None:
    old = take(str(whole), "mine")
    qemu_img("create", "-f", "qcow2", "-b", old.disk, "-F", "qcow2", tmp_path / "lab.qcow2")
    new = take(str(whole), "mine", size=64 << 20)
    assert images.builds("mine", home) == [new, old]
    assert images.remove("mine", home, tmp_path, old_only=True) == 0
    (tmp_path / "lab.qcow2").unlink()
    assert images.remove("mine", home, tmp_path, old_only=True) == old.size
    assert images.builds("mine", home) == [new]
