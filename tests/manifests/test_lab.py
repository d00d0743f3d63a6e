"""A lab's objects, whole: what is sent to Kubernetes for a template with one machine."""

import json
from pathlib import Path

from labkit.manifests.lab import LabPlan, access_secret, lab_objects, namespace
from labkit.manifests.userdata import MachineAccess, user_data
from labkit.model import Pane, PaneType
from labkit.templates import Image, Lifetime, Machine, Network, Template, User

TERMINAL = Pane("terminal", PaneType.TERMINAL, "Terminal", 7681)
SCREEN = Pane("vnc", PaneType.VNC, "Screen")
BOX = Machine("box", "vm", Image("bundled", "tiny"), 2, 256 * 2**20, (User("student", True),), (TERMINAL, SCREEN))
ACCESS = MachineAccess({"student": "abcd-efgh"}, "ssh-ed25519 AAAA labkit", "-----BEGIN KEY-----\n", "5ec4e7")
LABELS = {"labkit/installation": "inst000000", "labkit/lab": "k3f9q2abcd"}


def meta(name: str) -> dict[str, object]:
    return {"name": name, "namespace": "labkit-k3f9q2abcd", "labels": LABELS}


def objects() -> list[dict[str, object]]:
    template = Template(
        name="hello",
        title="Hello",
        description="",
        duration_minutes=None,
        tags=(),
        machines=(BOX,),
        network=Network(),
        lifetime=Lifetime(),
        variables={},
        folder=Path("/t"),
        digest="d",
    )
    return lab_objects(LabPlan("inst000000", "k3f9q2abcd", template, {"box": ACCESS}))


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


def test_the_policy_comes_first_and_lets_the_labs_own_traffic_dns_and_portforward_through() -> None:
    assert objects()[0] == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": meta("labkit"),
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": [{"podSelector": {}}]},
                {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kubevirt"}}}]},
            ],
            "egress": [
                {"to": [{"podSelector": {}}]},
                {
                    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
                    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
                },
            ],
        },
    }


def test_a_machines_user_data_lies_in_a_secret_of_its_own() -> None:
    assert objects()[1] == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": meta("labkit-userdata-box"),
        "stringData": {"userdata": user_data(BOX, ACCESS)},
    }


def test_a_headless_service_lets_a_machines_name_resolve() -> None:
    assert objects()[2] == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta("box"),
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"labkit/machine": "box"}},
    }


def test_the_virtual_machine_whole() -> None:
    panes = (
        '[{"name": "terminal", "type": "terminal", "title": "Terminal", "port": 7681}, '
        '{"name": "vnc", "type": "vnc", "title": "Screen"}]'
    )
    assert objects()[3] == {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": meta("box"),
        "spec": {
            "runStrategy": "RerunOnFailure",
            "template": {
                "metadata": {
                    "labels": {**LABELS, "labkit/machine": "box"},
                    "annotations": {"labkit/panes": panes},
                },
                "spec": {
                    "terminationGracePeriodSeconds": 5,
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
    head, _, body = user_data(BOX, ACCESS).partition("\n")
    secret = {"permissions": "0600", "owner": "root:root"}
    assert head == "#cloud-config"
    assert json.loads(body) == {
        "hostname": "box",
        "users": [
            {"name": "student", "plain_text_passwd": "abcd-efgh", "lock_passwd": False, "shell": "/bin/sh"},
            {"name": "root", "lock_passwd": True, "ssh_authorized_keys": ["ssh-ed25519 AAAA labkit"]},
        ],
        "write_files": [
            {"path": "/etc/labkit/ttyd.secret", "content": "5ec4e7", **secret},
            {"path": "/etc/ssh/ssh_host_ed25519_key", "content": "-----BEGIN KEY-----\n", **secret},
            {"path": "/etc/labkit/terminal-user", "content": "student", **secret},
        ],
    }
