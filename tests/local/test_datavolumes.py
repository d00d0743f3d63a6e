"""DataVolumes: disks filled from web servers, registries and other claims."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import http.server
import json
import socket
import subprocess
import tarfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.local.storage import disks
from labkit.local.storage.sources import is_local
from tests.local.conftest import post
from tests.local.test_volumes import bound, disk, get, patch, pvc
from tests.support.engine import EngineProcess, namespace, running_engine, until
from tests.support.volumes import claim, user

DVS = "/apis/cdi.kubevirt.io/v1beta1/namespaces/{}/datavolumes"
WORD = b"the content of the image".ljust(2**20, b"\0")


def volume(name: str, size: str = "32Mi", form: str = "storage", **source: Any) -> dict[str, Any]:
    """A DataVolume."""
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    spec = {"source": source, form: wanted}
    return {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "metadata": {"name": name}, "spec": spec}


def dv(engine: EngineProcess, space: str, name: str) -> dict[str, Any]:
    """A DataVolume as it is now."""
    return get(engine, f"{DVS.format(space)}/{name}")


def ends(engine: EngineProcess, space: str, name: str, phase: str = "Succeeded") -> dict[str, Any]:
    """A DataVolume, once it is in that phase."""
    return until(lambda: (now := dv(engine, space, name)).get("status", {}).get("phase") == phase and now)


def said(found: dict[str, Any]) -> tuple[str, str]:
    """Reason and message of the condition Running."""
    condition = next(item for item in found["status"]["conditions"] if item["type"] == "Running")
    return condition["reason"], condition.get("message", "")


def content(engine: EngineProcess, space: str, name: str) -> bytes:
    """The first MiB of a claim's disk, as a guest would see it."""
    file = disk(engine, pvc(engine, space, name))
    line = ["qemu-img", "dd", "-f", "qcow2", "-O", "raw", "bs=1M", "count=1", f"if={file}", "of=/dev/stdout"]
    raw = file.with_name("seen")
    subprocess.run([*line[:-1], f"of={raw}"], check=True)
    return raw.read_bytes()


class Site(http.server.SimpleHTTPRequestHandler):
    """Serves files, and a few answers that are none."""

    down = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/flaky.img" and not self.down.is_set():
            self.down.set()
            return self.send_error(503)
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path.partition("?")[2])
            return self.end_headers()
        if self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                while True:
                    self.wfile.write(bytes(2**20))
        return super().do_GET()

    def log_message(self, *_: Any) -> None:
        """Nothing: the tests look at what comes of it."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a web server with images: one disk in several forms."""
    folder = tmp_path_factory.mktemp("site")
    raw, qcow2 = folder / "disk.img", folder / "disk.qcow2"
    raw.write_bytes(WORD)
    (folder / "flaky.img").write_bytes(WORD)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2], check=True)
    (folder / "disk.img.gz").write_bytes(gzip.compress(WORD).ljust(512, b"\0"))
    (folder / "page.html").write_text("<html>this is no disk</html>")
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", folder / "disk.vmdk", "1M"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "huge.qcow2", "1T"], check=True)
    (folder / "backed.qcow2").write_bytes(hostile(backing=b"/etc/passwd"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Site, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def hostile(backing: bytes = b"", incompatible: int = 0) -> bytes:
    """A qcow2 header that names a file of the host."""
    head = b"QFI\xfb" + (3).to_bytes(4, "big") + (112 if backing else 0).to_bytes(8, "big")
    head += len(backing).to_bytes(4, "big") + (16).to_bytes(4, "big") + (2**20).to_bytes(8, "big")
    return (head.ljust(72, b"\0") + incompatible.to_bytes(8, "big")).ljust(112, b"\0") + backing.ljust(2**16, b"\0")


@pytest.mark.parametrize("form", ["pvc", "storage"])
def test_a_blank_volume_is_an_empty_claim_that_it_owns(engine: EngineProcess, space: str, form: str) -> None:
    post(engine, space, volume("data", form=form, blank={}))
    found = ends(engine, space, "data")
    assert (found["status"]["progress"], found["status"]["claimName"]) == ("100.0%", "data")
    conditions = {item["type"]: item["status"] for item in found["status"]["conditions"]}
    assert conditions == {"Bound": "True", "Ready": "True", "Running": "False"}
    assert bound(engine, space, "data")["metadata"]["ownerReferences"][0]["uid"] == found["metadata"]["uid"]
    assert engine.request("DELETE", f"{DVS.format(space)}/data")[0] == 200
    until(lambda: not pvc(engine, space, "data"))


@pytest.mark.parametrize("name", ["disk.img", "disk.qcow2", "to?/disk.img"])
def test_an_image_comes_from_a_web_server_in_several_forms(
    engine: EngineProcess, space: str, site: str, name: str
) -> None:
    post(engine, space, volume("data", http={"url": f"{site}/{name}"}))
    ends(engine, space, "data")
    assert content(engine, space, "data") == WORD
    assert disks.virtual_size(disk(engine, pvc(engine, space, "data"))) == 32 * 2**20
    assert not (disk(engine, pvc(engine, space, "data")).parent / "work").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("page.html", "it does not consist of whole sectors"),
        ("absent.img", "answered 404"),
        ("disk.vmdk", "VMDK"),
        ("huge.qcow2", "does not fit"),
        ("disk.img.gz", "a gzip image"),
        ("endless", "larger than the 52 MiB"),
        ("backed.qcow2", "names another file"),
        ("to?file:///etc/passwd", "leads to no image"),
        ("to?http://a..b/disk.img", "leads to no image"),
        ("to?/to?/to?/to?/to?/to?/to?/disk.img", "leads to no image"),
    ],
)
def test_what_is_no_fitting_disk_fails_and_says_why(
    engine: EngineProcess, space: str, site: str, name: str, why: str
) -> None:
    post(engine, space, volume("data", http={"url": f"{site}/{name}"}))
    assert why in said(ends(engine, space, "data", "Failed"))[1]
    assert why in engine.kubectl("get", "events", "-n", space)
    assert not disk(engine, pvc(engine, space, "data")).exists()


@pytest.mark.parametrize(("method", "right"), [("sha256", True), ("md5", True), ("sha512", False)])
def test_a_checksum_is_checked(engine: EngineProcess, space: str, site: str, method: str, right: bool) -> None:
    digits = hashlib.new(method, WORD if right else b"other").hexdigest()
    post(engine, space, volume("data", http={"url": f"{site}/disk.img", "checksum": f"{method}:{digits}"}))
    found = ends(engine, space, "data", "Succeeded" if right else "Failed")
    assert (f"its {method} is" in said(found)[1]) is not right


def test_a_server_that_is_away_for_a_moment_is_asked_again(engine: EngineProcess, space: str, site: str) -> None:
    Site.down.clear()
    post(engine, space, volume("data", http={"url": f"{site}/flaky.img"}))
    waiting = ends(engine, space, "data", "ImportScheduled")
    assert said(waiting) == ("Error", f"{site}/flaky.img: the server answered 503 Service Unavailable")
    assert ends(engine, space, "data")["status"]["restartCount"] == 1


def test_progress_is_shown_while_an_image_comes_and_deletion_ends_it(engine: EngineProcess, space: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        post(engine, space, volume("data", http={"url": f"http://127.0.0.1:{server.getsockname()[1]}/slow.img"}))
        line, _ = server.accept()
        with line:
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2097152\r\n\r\n" + bytes(2**20))
            until(lambda: dv(engine, space, "data")["status"]["progress"] == "50.00%")
            head, row = engine.kubectl("get", "dv", "-n", space).strip().splitlines()
            assert head.split() == ["NAME", "PHASE", "PROGRESS", "RESTARTS", "AGE"]
            assert row.split()[:4] == ["data", "ImportInProgress", "50.00%", "0"]
            folder = disk(engine, pvc(engine, space, "data")).parent
            engine.kubectl("delete", "dv", "data", "-n", space)
            until(lambda: not pvc(engine, space, "data") and not folder.exists())
            line.settimeout(10)
            assert line.recv(2**16).startswith(b"GET")
            assert line.recv(1) == b""


def test_an_import_that_a_kill_interrupted_is_done_again(engine: EngineProcess, space: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        post(engine, space, volume("data", http={"url": f"http://127.0.0.1:{server.getsockname()[1]}/slow.img"}))
        server.accept()[0].close()
        line, _ = server.accept()
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n" + WORD[:-1])
        engine.kill()
        line.close()
        engine.start()
        with server.accept()[0] as again:
            again.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n" + WORD)
            ends(engine, space, "data")
    assert content(engine, space, "data") == WORD


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"source": {"upload": {}}}, "spec.source.upload"),
        ({"source": {"s3": {"url": "http://x/y"}}}, "spec.source.s3"),
        ({"source": {"http": {"url": "ftp://x/y"}}}, "spec.source.http.url"),
        ({"source": {"http": {"url": "http://me:secret@x/y"}}}, "spec.source.http.url"),
        ({"source": {"http": {"url": "http://x/y", "checksum": "crc:1"}}}, "spec.source.http.checksum"),
        ({"source": {"http": {"url": "http://x/y", "secretRef": "s"}}}, "spec.source.http.secretRef"),
        ({"source": {"registry": {"url": "oci-archive:/etc/passwd"}}}, "spec.source.registry.url"),
        ({"source": {"registry": {"url": "docker://--help/x"}}}, "spec.source.registry.url"),
        ({"source": {"blank": {}, "http": {"url": "http://x/y"}}}, "spec.source"),
        ({"source": {}}, "spec.source"),
        ({"source": {"pvc": {}}}, "spec.source.pvc.name"),
        ({"pvc": claim("data")["spec"]}, "spec"),
        ({"storage": None}, "spec"),
        ({"storage": {"resources": {}}}, "spec.storage.resources.requests"),
        ({"preallocation": True}, "spec.preallocation"),
        ({"contentType": "archive"}, "spec.contentType"),
    ],
)
def test_a_wrong_data_volume_is_refused_with_its_field(
    engine: EngineProcess, space: str, spec: dict, field: str
) -> None:
    wrong = volume("data", blank={})
    wrong["spec"] |= spec
    code, body = engine.request("POST", DVS.format(space), wrong)
    assert code == 422, body
    assert field in [cause["field"] for cause in json.loads(body)["details"]["causes"]]


def test_a_data_volume_does_not_take_a_claim_and_does_not_change(engine: EngineProcess, space: str) -> None:
    post(engine, space, claim("taken"), volume("data", blank={}))
    assert b"already exists" in engine.request("POST", DVS.format(space), volume("taken", blank={}))[1]
    changed = {"spec": {"source": {"http": {"url": "http://x/y"}, "blank": None}}}
    assert patch(engine, f"{DVS.format(space)}/data", changed)[0] == 422


def test_a_claim_is_cloned_also_into_another_namespace(engine: EngineProcess, space: str, site: str) -> None:
    other = f"t-{uuid.uuid4().hex[:8]}"
    engine.request("POST", "/api/v1/namespaces", namespace(other))
    post(engine, space, volume("golden", http={"url": f"{site}/disk.img"}))
    post(engine, other, volume("copy", "64Mi", pvc={"namespace": space, "name": "golden"}))
    ends(engine, other, "copy")
    assert content(engine, other, "copy") == WORD
    assert disks.virtual_size(disk(engine, pvc(engine, other, "copy"))) == 64 * 2**20


def test_a_clone_into_less_room_fails(engine: EngineProcess, space: str) -> None:
    post(engine, space, claim("golden", "64Mi"), volume("copy", "32Mi", pvc={"name": "golden"}))
    assert "is smaller than the source" in said(ends(engine, space, "copy", "Failed"))[1]


def test_cloning_from_another_namespace_needs_the_right(engine: EngineProcess, space: str) -> None:
    other = f"t-{uuid.uuid4().hex[:8]}"
    engine.request("POST", "/api/v1/namespaces", namespace(other))
    engine.kubectl("create", "serviceaccount", "learner", "-n", space)
    edit = ("rolebinding", "edit", "-n", space, "--clusterrole=admin", f"--serviceaccount={space}:learner")
    engine.kubectl("create", *edit)
    who = f"--token={engine.kubectl('create', 'token', 'learner', '-n', space).strip()}"
    lacking = f'cannot create resource "datavolumes/source" in API group "cdi.kubevirt.io" in the namespace "{other}"'
    wanted = json.dumps(volume("copy", pvc={"namespace": other, "name": "golden"}))
    refused = engine.kubectl("create", who, "-n", space, "-f", "-", stdin=wanted, check=False)
    assert lacking in refused
    vm = user("web", space, dataVolume={"name": "copy"})
    vm["spec"]["dataVolumeTemplates"] = [json.loads(wanted)]
    refused = engine.kubectl("create", who, "-n", space, "-f", "-", stdin=json.dumps(vm), check=False)
    assert lacking in refused


def test_a_template_of_a_vm_makes_a_volume_that_goes_with_it(engine: EngineProcess, space: str, site: str) -> None:
    vm = user("web", space, dataVolume={"name": "root"})
    assert engine.request("POST", f"/apis/kubevirt.io/v1/namespaces/{space}/virtualmachines", vm)[0] == 201
    engine.kubectl("delete", "vm", "web", "-n", space)
    vm["spec"]["dataVolumeTemplates"] = [volume("root", http={"url": f"{site}/disk.img"})]
    post(engine, space, vm)
    ends(engine, space, "root")
    assert dv(engine, space, "root")["metadata"]["ownerReferences"][0]["name"] == "web"
    engine.kubectl("delete", "vm", "web", "-n", space)
    until(lambda: not dv(engine, space, "root") and not pvc(engine, space, "root"))


def test_a_template_whose_volume_could_not_be_named_so_is_refused(engine: EngineProcess, space: str) -> None:
    vm = user("web", space, dataVolume={"name": "../x"})
    vm["spec"]["dataVolumeTemplates"] = [volume("../x", blank={})]
    code, body = engine.request("POST", f"/apis/kubevirt.io/v1/namespaces/{space}/virtualmachines", vm)
    assert (code, b"dataVolumeTemplates[0].metadata.name" in body) == (422, True)


def test_a_template_that_no_volume_names_is_refused(engine: EngineProcess, space: str) -> None:
    vm = user("web", space, dataVolume={"name": "root"})
    vm["spec"]["dataVolumeTemplates"] = [volume("other", blank={})]
    code, body = engine.request("POST", f"/apis/kubevirt.io/v1/namespaces/{space}/virtualmachines", vm)
    assert (code, b"must be referenced in the VMI template's 'volumes' list" in body) == (422, True)


def test_a_machine_waits_for_its_volume_and_says_so(engine: EngineProcess, space: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        post(engine, space, volume("root", http={"url": f"http://127.0.0.1:{server.getsockname()[1]}/slow.img"}))
        post(engine, space, user("web", space, strategy="Always", dataVolume={"name": "root"}))
        path = f"/apis/kubevirt.io/v1/namespaces/{space}/virtualmachines/web"
        until(lambda: get(engine, path).get("status", {}).get("printableStatus") == "Provisioning")
        with server.accept()[0] as line:
            line.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            until(lambda: get(engine, path)["status"]["printableStatus"] == "DataVolumeError")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry on loopback: images good, empty (no /disk/), replaced (a later layer's disk), long (many files)."""
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    storage = {"filesystem": {"rootdirectory": str(folder / "blobs")}}
    config = {"version": 0.1, "storage": storage, "http": {"addr": address}, "log": {"level": "error"}}
    (folder / "config.yml").write_text(json.dumps(config))
    server = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=-3, stderr=-3)
    try:
        until(lambda: answers(address))
        old, new = {"disk/old.img": bytes(2**20)}, {"disk/.wh.old.img": b"", "disk/new.img": WORD}
        for name, layers in {
            "good": [{"disk/a.img": WORD}],
            "empty": [{"etc/x": b"x"}],
            "replaced": [old, new],
            "long": [{f"disk/{n:0>250}": b"" for n in range(18000)}],
        }.items():
            push(folder / name, layers, f"docker://{address}/labs/{name}:v1")
        yield address
    finally:
        server.terminate()
        server.wait()


def answers(address: str) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as line:
        return line.connect_ex((address.partition(":")[0], int(address.partition(":")[2]))) == 0


def push(folder: Path, layers: list[dict[str, bytes]], reference: str) -> None:
    """Push an image with these layers, each the content of files by path."""
    folder.mkdir()
    archives = []
    for n, files in enumerate(layers):
        with tarfile.open(folder / f"layer{n}.tar", "w") as archive:
            for name, body in files.items():
                (folder / "file").write_bytes(body)
                archive.add(folder / "file", name)
        archives.append(f"layer{n}.tar")
    sums = ["sha256:" + hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in archives]
    about = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": sums}, "config": {}}
    (folder / "config.json").write_text(json.dumps(about))
    (folder / "manifest.json").write_text(json.dumps([{"Config": "config.json", "RepoTags": [], "Layers": archives}]))
    with tarfile.open(folder / "image.tar", "w") as image:
        for name in ("manifest.json", "config.json", *archives):
            image.add(folder / name, name)
    line = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"docker-archive:{folder}/image.tar", reference]
    subprocess.run(line, check=True)


@pytest.mark.parametrize("name", ["good", "replaced"])
def test_a_disk_comes_out_of_a_container_image(engine: EngineProcess, space: str, registry: str, name: str) -> None:
    post(engine, space, volume("data", registry={"url": f"docker://{registry}/labs/{name}:v1"}))
    ends(engine, space, "data")
    assert content(engine, space, "data") == WORD


@pytest.mark.parametrize(("name", "why"), [("empty", "has no folder /disk/"), ("long", "larger than the 4 MiB")])
def test_a_container_image_without_a_disk_fails(
    engine: EngineProcess, space: str, registry: str, name: str, why: str
) -> None:
    post(engine, space, volume("data", "128Mi", registry={"url": f"docker://{registry}/labs/{name}:v1"}))
    assert why in said(ends(engine, space, "data", "Failed"))[1]


def test_an_image_that_the_registry_does_not_have_is_asked_for_again(
    engine: EngineProcess, space: str, registry: str
) -> None:
    post(engine, space, volume("data", registry={"url": f"docker://{registry}/labs/absent:v1"}))
    found = ends(engine, space, "data", "ImportScheduled")
    assert (said(found)[0], found["status"]["restartCount"]) == ("Error", 1)
    assert "manifest unknown" in said(found)[1]


def test_nothing_on_this_computer_is_read_unless_the_engine_is_told_so(site: str, registry: str) -> None:
    with running_engine(anywhere=False) as engine:
        engine.request("POST", "/api/v1/namespaces", namespace("t"))
        port = site.rpartition(":")[2]
        for n, url in enumerate((site, f"http://localhost:{port}", f"http://[::ffff:127.0.0.1]:{port}")):
            post(engine, "t", volume(f"web{n}", http={"url": f"{url}/disk.img"}))
            assert "--import-from-anywhere" in said(ends(engine, "t", f"web{n}", "Failed"))[1]
        post(engine, "t", volume("image", registry={"url": f"docker://{registry}/labs/good:v1"}))
        assert "--import-from-anywhere" in said(ends(engine, "t", "image", "Failed"))[1]


@pytest.mark.parametrize(
    "address",
    ["127.8.8.8", "::1", "::", "169.254.169.254", "fe80::1%eth0", "fd00:ec2::254", "::ffff:127.0.0.1"],
)
def test_addresses_of_this_computer_its_link_and_metadata_are_local(address: str) -> None:
    assert is_local(address)
    assert not is_local("203.0.113.7")


@pytest.mark.parametrize("image", [hostile(backing=b"/etc/passwd"), hostile(incompatible=4)])
def test_an_image_that_names_files_of_the_host_is_refused_by_its_header(image: bytes) -> None:
    with pytest.raises(disks.DiskError, match="names another file"):
        disks.image_format(image[:112], len(image))
