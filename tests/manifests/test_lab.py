"""A lab's objects, whole: what is sent to Kubernetes for a template with one machine."""

import json
from dataclasses import replace
from typing import Any

import pytest

from labkit.errors import SetupError
from labkit.manifests.lab import access_secret, namespace
from labkit.manifests.site import Site
from labkit.manifests.userdata import user_data
from labkit.model import Pane, PaneType
from labkit.templates import File, Image, Machine, User
from tests.manifests.objects import ACCESS, LABELS, meta, objects

TERMINAL = Pane("terminal", PaneType.TERMINAL, "Terminal", 7681)
SCREEN = Pane("vnc", PaneType.VNC, "Screen")
BOX = Machine("box", "vm", Image("bundled", "tiny"), 2, 256 * 2**20, (User("student", True),), (TERMINAL, SCREEN))
WEB = Machine("web", "container", Image("bundled", "web"), 1, 64 * 2**20)


def test_the_namespace_names_installation_and_lab_and_nobody() -> None:
    assert namespace("inst000000", "k3f9q2abcd") == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": "labkit-k3f9q2abcd",
            "labels": {**LABELS, "pod-security.kubernetes.io/enforce": "baseline"},
            "annotations": {"labkit/ticket-epoch": "0"},
        },
    }


def test_what_was_drawn_lies_in_a_secret() -> None:
    assert access_secret("inst000000", "k3f9q2abcd", {"check-key": "k"}) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": meta("labkit-access"),
        "stringData": {"check-key": "k"},
    }


def test_limits_come_first_then_walls_and_names_then_machines() -> None:
    found = [(item["kind"], item["metadata"]["name"]) for item in objects(BOX, WEB)]
    assert found == [
        ("ResourceQuota", "labkit"),
        ("LimitRange", "labkit"),
        ("NetworkPolicy", "labkit"),
        ("Service", "box"),
        ("Service", "web"),
        ("Secret", "labkit-userdata-box"),
        ("VirtualMachine", "box"),
        ("Pod", "web"),
    ]


def test_a_machine_comes_behind_those_it_waits_for() -> None:
    found = objects(replace(BOX, after=("web",)), WEB)
    assert [item["metadata"]["name"] for item in found if item["kind"] in ("VirtualMachine", "Pod")] == ["web", "box"]


def test_a_machines_user_data_lies_in_a_secret_of_its_own() -> None:
    assert objects(BOX)[4] == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": meta("labkit-userdata-box"),
        "stringData": {"userdata": user_data(BOX, ACCESS, {})},
    }


def test_the_virtual_machine_whole() -> None:
    panes = (
        '[{"name": "terminal", "type": "terminal", "title": "Terminal", "port": 7681}, '
        '{"name": "vnc", "type": "vnc", "title": "Screen"}]'
    )
    login = '{"user": "student", "hostKey": "ssh-ed25519 HHHH labkit"}'
    assert objects(BOX)[5] == {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": meta("box"),
        "spec": {
            "runStrategy": "RerunOnFailure",
            "template": {
                "metadata": {
                    "labels": {**LABELS, "labkit/machine": "box"},
                    "annotations": {"labkit/panes": panes, "labkit/login": login},
                },
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "evictionStrategy": "None",
                    "domain": {
                        "cpu": {"cores": 2},
                        "memory": {"guest": "256Mi"},
                        "devices": {
                            "disks": [
                                {"name": "root", "disk": {"bus": "virtio"}},
                                {"name": "seed", "disk": {"bus": "virtio"}},
                            ],
                            "interfaces": [{"name": "default", "bridge": {}}],
                            "rng": {},
                            "logSerialConsole": False,
                            "inputs": [{"name": "tablet", "type": "tablet", "bus": "usb"}],
                        },
                    },
                    "networks": [{"name": "default", "pod": {}}],
                    "volumes": [
                        {"name": "root", "containerDisk": {"image": "localhost/labkit/tiny:latest"}},
                        {"name": "seed", "cloudInitNoCloud": {"secretRef": {"name": "labkit-userdata-box"}}},
                    ],
                },
            },
        },
    }


def test_user_data_is_cloud_config_with_a_json_body() -> None:
    head, _, body = user_data(BOX, ACCESS, {}).partition("\n")
    secret = {"permissions": "0600", "owner": "root:root"}
    assert head == "#cloud-config"
    assert json.loads(body) == {
        "hostname": "box",
        "users": [
            {
                "name": "student",
                "lock_passwd": False,
                "shell": "/bin/sh",
                "plain_text_passwd": "abcd-efgh",
                "ssh_authorized_keys": ["ssh-ed25519 LLLL labkit"],
            },
            {"name": "root", "lock_passwd": True, "ssh_authorized_keys": ["ssh-ed25519 AAAA labkit"]},
        ],
        "write_files": [
            {"path": "/etc/labkit/ttyd.secret", "content": "5ec4e7", **secret},
            {"path": "/etc/ssh/ssh_host_ed25519_key", "content": "-----BEGIN KEY-----\n", **secret},
            {"path": "/etc/labkit/terminal-user", "content": "student", **secret},
        ],
    }


def test_the_pod_of_a_container_whole() -> None:
    size = {"memory": "64Mi"}
    assert objects(WEB)[-1] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **meta("web"),
            "labels": {**LABELS, "labkit/machine": "web"},
            "annotations": {"labkit/panes": "[]"},
        },
        "spec": {
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 5,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [
                {
                    "name": "main",
                    "image": "localhost/labkit/web:latest",
                    "resources": {"requests": {"cpu": "100m", **size}, "limits": {"cpu": "1000m", **size}},
                    "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                }
            ],
        },
    }


def test_on_a_cluster_bundled_images_come_from_the_registry_that_is_set() -> None:
    vm, pod = (objects(machine, site=Site("registry.example/labs"))[-1] for machine in (BOX, WEB))
    disk = vm["spec"]["template"]["spec"]["volumes"][0]["containerDisk"]
    assert disk == {"image": "registry.example/labs/tiny:latest"}
    assert pod["spec"]["containers"][0]["image"] == "registry.example/labs/web:latest"


def test_on_a_cluster_without_a_registry_it_is_said_how_to_set_one() -> None:
    wanted = "'tiny' has to come from a registry .* 'labkit images push tiny REGISTRY', and set LABKIT_IMAGE_REGISTRY"
    with pytest.raises(SetupError, match=wanted):
        objects(BOX, site=Site(registry=""))


def user_data_of(**more: Any) -> dict[str, Any]:
    machine = Machine("box", "vm", Image("registry", "quay.io/a/debian:1"), 1, 2**29, **more)
    found: dict[str, Any] = json.loads(user_data(machine, ACCESS, {"word": "birch"}).partition("\n")[2])
    return found


def test_a_user_may_have_keys_a_shell_and_sudo() -> None:
    ada = User("ada", False, None, ("ssh-ed25519 AAAA ada",), True, True, "/bin/bash")
    assert user_data_of(users=(ada,))["users"][0] == {
        "name": "ada",
        "lock_passwd": True,
        "shell": "/bin/bash",
        "ssh_authorized_keys": ["ssh-ed25519 AAAA ada", "ssh-ed25519 BBBB labkit", "ssh-ed25519 LLLL labkit"],
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
    }


def test_files_are_placed_with_their_variables_those_of_a_user_after_the_users_are_there() -> None:
    files = (File("/etc/motd", "{{ word }}"), File("/home/ada/x", data=b"\xff", mode="0600", owner="ada:ada"))
    first, second = user_data_of(files=files)["write_files"][-2:]
    root = {"encoding": "b64", "permissions": "0644", "owner": "root:root"}
    assert first == {"path": "/etc/motd", "content": "YmlyY2g=", **root}
    assert second == {"path": "/home/ada/x", "content": "/w==", "encoding": "b64", "permissions": "0600",
                      "owner": "ada:ada", "defer": True}  # fmt: skip


def test_the_authors_cloud_config_is_merged_users_by_name_and_lists_one_after_the_other() -> None:
    given = {
        "hostname": "{{ word }}",
        "packages": ["nginx"],
        "users": [{"name": "ada", "groups": "adm"}, {"name": "eve"}],
        "write_files": [{"path": "/x", "content": ""}],
    }
    found = user_data_of(users=(User("ada"),), user_data=given)
    assert (found["hostname"], found["packages"]) == ("birch", ["nginx"])
    assert [user["name"] for user in found["users"]] == ["ada", "root", "eve"]
    keys = ["ssh-ed25519 BBBB labkit", "ssh-ed25519 LLLL labkit"]
    own = {"lock_passwd": True, "shell": "/bin/sh", "ssh_authorized_keys": keys}
    assert found["users"][0] == {"name": "ada", "groups": "adm", **own}
    assert [file["path"] for file in found["write_files"]][-2:] == ["/etc/labkit/terminal-user", "/x"]
