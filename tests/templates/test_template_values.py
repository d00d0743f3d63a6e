"""Every key of a machine, a volume and a set of files arrives as the value that manifests are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.model import Pane, PaneType
from labkit.templates import (
    Attachment,
    Disk,
    File,
    FileSet,
    Image,
    Lifetime,
    Machine,
    Mount,
    Network,
    Readiness,
    Service,
    Template,
    User,
    Variable,
    Volume,
    declared,
    fill,
    load,
    values,
)

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPbS ada@example"
SUM = "a" * 64
TEXT = f"""\
apiVersion: labkit/v1
kind: Lab
name: full
title: Everything
machines:
  - name: desk
    type: vm
    image: {{url: https://example.org/x.qcow2, sha256: {SUM}, size: 5Gi}}
    instancetype: u1.small
    preference: windows.11
    os: windows
    users: [{{name: ada, password: {{generate: true}}, keys: [{KEY}, {{generate: true}}], sudo: true, shell: /bin/sh}}]
    userData: {{runcmd: [[echo, "{{{{ flag }}}}"]], ntp: {{enabled: true, count: 3}}}}
    disks:
      - {{name: a, empty: 2Gi}}
      - {{name: b, image: {{registry: "quay.io/labs/b:1"}}, type: cdrom, boot: 2}}
      - {{name: c, volume: data, type: lun, bus: scsi}}
      - {{name: d, ephemeral: data, readOnly: true}}
      - {{name: e, configMap: site}}
      - {{name: f, secret: keys}}
    networks: [{{name: dmz, network: nets/dmz, mac: "02:00:00:00:00:01"}}]
    ready: {{agent: true, timeout: 5m}}
    after: web
    files: [{{path: /a, content: x}}, {{path: /b, source: files/b, mode: "0755", owner: "ada:ada"}}]
    services: [{{name: www, port: 80, protocol: UDP}}]
    overrides: {{domain: {{clock: {{timezone: UTC}}}}, a: 1.5, b: null}}
  - name: web
    type: container
    image: {{bundled: web}}
    command: [sh]
    args: [-c, "echo {{{{ flag }}}}"]
    env: {{FLAG: "{{{{ flag }}}}"}}
    ports: [80]
    cpu: 250m
    memory: 64Mi
    volumes: [{{path: /s, configMap: site}}, {{path: /e, empty: 1Gi}}, {{path: /v, volume: data, readOnly: true}}]
    ready: {{http: {{port: 80, path: /ok}}}}
    panes: [exec, terminal, {{name: site, type: http, port: 80, path: /x}}]
network: {{egress: [192.0.2.0/24], binding: masquerade}}
lifetime: {{max: 4h, idle: 45m}}
variables: {{flag: {{from: '[a-f]{{8}}'}}, name: {{value: "1"}}}}
volumes:
  - {{name: data, size: 1Gi, storageClass: fast, access: ReadWriteMany}}
  - {{name: gold, image: {{clone: golden/disk}}}}
configMaps: {{site: {{index.html: hello}}}}
secrets: {{keys: {{key: {{source: files/b}}}}}}
"""
MIB, GIB = 1 << 20, 1 << 30
DISKS = (
    Disk("a", "empty", size_bytes=2 * GIB),
    Disk("b", "image", image=Image("registry", "quay.io/labs/b:1"), type="cdrom", boot=2),
    Disk("c", "volume", "data", type="lun", bus="scsi"),
    Disk("d", "ephemeral", "data", read_only=True),
    Disk("e", "configMap", "site"),
    Disk("f", "secret", "keys"),
)
DESK = Machine(
    name="desk",
    type="vm",
    image=Image("url", "https://example.org/x.qcow2", SUM, 5 * GIB),
    cpu=None,
    memory_bytes=None,
    users=(User("ada", True, None, (KEY,), True, True, "/bin/sh"),),
    files=(File("/a", "x"), File("/b", None, "files/b", b"\x00b", "0755", "ada:ada")),
    services=(Service("www", 80, "UDP"),),
    networks=(Attachment("dmz", "nets/dmz", "02:00:00:00:00:01"),),
    ready=Readiness("agent", timeout_seconds=300),
    after=("web",),
    overrides={"domain": {"clock": {"timezone": "UTC"}}, "a": 1.5, "b": None},
    os="windows",
    instancetype="u1.small",
    preference="windows.11",
    disks=DISKS,
    user_data={"runcmd": [["echo", "{{ flag }}"]], "ntp": {"enabled": True, "count": 3}},
)
WEB = Machine(
    name="web",
    type="container",
    image=Image("bundled", "web"),
    cpu=0.25,
    memory_bytes=64 * MIB,
    panes=(
        Pane("exec", PaneType.EXEC, "Shell"),
        Pane("terminal", PaneType.TERMINAL, "Terminal", 7681),
        Pane("site", PaneType.HTTP, "Page", 80, "/x"),
    ),
    ready=Readiness("http", 80, "/ok"),
    command=("sh",),
    args=("-c", "echo {{ flag }}"),
    env={"FLAG": "{{ flag }}"},
    ports=(80,),
    volumes=(
        Mount("/s", "configMap", "site"),
        Mount("/e", "empty", size_bytes=GIB),
        Mount("/v", "volume", "data", read_only=True),
    ),
)


@pytest.fixture
def full(tmp_path: Path) -> Template:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/b").write_bytes(b"\x00b")
    (tmp_path / "lab.yaml").write_text(TEXT)
    return load(tmp_path)


def test_every_key_of_a_machine_arrives_as_a_value(full: Template) -> None:
    assert full.machines == (DESK, WEB)


def test_every_key_of_the_lab_around_them_arrives_as_a_value(full: Template) -> None:
    assert (full.network, full.lifetime) == (Network("cidrs", ("192.0.2.0/24",), "masquerade"), Lifetime(14400, 2700))
    assert full.variables == {"flag": Variable(pattern="[a-f]{8}"), "name": Variable("1")}
    assert full.volumes == (
        Volume("data", GIB, None, "fast", "ReadWriteMany"),
        Volume("gold", None, Image("clone", "golden/disk")),
    )
    assert full.file_sets == (
        FileSet("site", (File("index.html", "hello"),)),
        FileSet("keys", (File("key", None, "files/b", b"\x00b"),), secret=True),
    )


def test_which_images_fill_volumes_of_their_own(full: Template) -> None:
    assert [
        image.imported for image in (DESK.image, WEB.image, Image("clone", "a/b"), Image("bundled", "x", None, 1))
    ] == [
        True,
        False,
        True,
        True,
    ]


def test_known_names_are_filled_in_however_deep_and_other_braces_stay(full: Template) -> None:
    known = declared(full, learner="Ada", lab="a1", seed="s")
    assert fill(DESK.user_data, {"flag": "X"})["runcmd"] == [["echo", "X"]]
    assert (
        fill("{{name}} {{ learner }} {{ other }} {{.Names}} ${{ x }}", known) == "1 Ada {{ other }} {{.Names}} ${{ x }}"
    )


def test_addresses_are_variables_once_they_are_known(full: Template) -> None:
    found = values(full, learner="Ada", lab="a1", seed="s", addresses={"web": "10.0.0.2", "desk": ""})
    assert (found["address_web"], found["address_desk"]) == ("10.0.0.2", "(not known yet)")
