"""What a container reaches, and what it does not: its lab's machines, another lab, the computer, the engine."""

from __future__ import annotations

import json
import os
import subprocess

from tests.local.conftest import answers, post
from tests.local.containers.conftest import AS_ROOT
from tests.support.containers import WEB, Box, container, pod
from tests.support.engine import headless_service, machine, seed, until

_MOUNTS = ("/", "/proc", "/dev", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
_ATTEMPTS = (
    "mount -t tmpfs x /tmp",
    "echo 1 > /proc/sys/kernel/hostname",
    "echo b > /proc/sysrq-trigger",
    "mknod /tmp/disk b 254 0",
    "test -e /proc/1/root/../../../../usr/lib/os-release",
    "test -s /proc/kcore",
    "ls /sys/firmware/*",
)


def test_a_container_sees_nothing_of_the_computer(lab: Box) -> None:
    script = "cat /proc/self/uid_map; echo; cat /proc/net/unix; echo; ps; echo; mount; echo; ip -o -4 addr"
    ids, sockets, running, mounts, cards = lab.sh("client", script.replace("echo;", "echo =;")).split("=\n", 4)
    assert ids.split()[0] == "0"
    assert len(sockets.splitlines()) == 1, "a socket of somebody else's"
    assert len(running.splitlines()) < 8
    places = [line.split()[2] for line in mounts.splitlines()]
    assert not [at for at in places if at not in _MOUNTS and not at.startswith(("/proc/", "/dev/", "/sys/"))]
    assert {line.split()[1] for line in cards.splitlines()} == {"lo", "eth0"}


def test_a_container_may_not_change_or_read_the_computer(lab: Box) -> None:
    for attempt in _ATTEMPTS:
        assert lab.sh("client", f"({attempt}) > /dev/null 2>&1; echo $?") != "0\n"


def test_a_container_cannot_reach_the_engines_sockets_and_files(lab: Box) -> None:
    places = [lab.engine.runtime, lab.engine.state, "/var/lib", "/run"]
    assert lab.sh("client", f"ls {' '.join(map(str, places))} 2> /dev/null || true") == ""
    port = json.loads(lab.engine.kubeconfig.read_text())["clusters"][0]["cluster"]["server"].rpartition(":")[2]
    own = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()
    tries = [f"nc -w 2 {host} {port} < /dev/null && echo reached" for host in (*own, "127.0.0.1", "169.254.77.2")]
    assert "reached" not in lab.sh("client", "; ".join(tries))


@AS_ROOT
def test_root_in_a_container_is_nobody_on_the_computer(lab: Box) -> None:
    lab.sh("client", "sleep 313131 > /dev/null 2>&1 &")
    found = subprocess.run(["pgrep", "-f", "sleep 313131"], capture_output=True, text=True).stdout.split()
    owners = {os.stat(f"/proc/{pid}").st_uid for pid in found}
    lab.sh("client", "pkill -f 313131")
    assert owners
    assert all(owner >= 100_000 for owner in owners)


def test_a_container_is_found_by_its_short_and_full_name_and_only_in_its_lab(lab: Box, box: Box) -> None:
    full = f"web.{lab.space}.svc.cluster.local"
    address = lab.get("web")["status"]["podIP"]
    fetches = "; ".join(f"timeout 3 wget -qO- {where} 2> /dev/null" for where in ("web", full, address))
    assert lab.sh("client", fetches) == "here\n" * 3
    box.run(pod("web", container()))
    assert "here" not in box.sh("web", fetches)
    assert address not in box.sh("web", f"ip addr add {address}/24 dev eth0; ip addr")


def test_a_policy_holds_for_containers(box: Box) -> None:
    box.post(pod("web", container(WEB)), pod("client"))
    box.wait("web")
    box.wait("client")
    fetch = f"timeout 2 wget -qO- {box.get('web')['status']['podIP']}"
    until(lambda: "here" in box.sh("client", fetch))
    spec = {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"]}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "no"}, "spec": spec}
    post(box.engine, box.space, policy)
    until(lambda: "here" not in box.sh("client", fetch))


def test_a_machine_and_a_container_reach_each_other_by_name(box: Box) -> None:
    fetch = "until wget -qO- http://box | grep here; do sleep 1; done; ping -c 1 box && echo REACHED"
    commands = [["sh", "-c", f"({fetch}) > /dev/console 2>&1"]]
    post(box.engine, box.space, seed(box.space, hostname="web", runcmd=commands), machine("web", box.space))
    box.post(headless_service("web", box.space), headless_service("box", box.space))
    box.run(pod("box", container(WEB)))
    until(lambda: answers(box.engine, box.space), 120)
    said = box.sh("box", "nc -w 3 web 22 < /dev/null | head -c 20; ping -c 1 web")
    assert "SSH" in said
    assert "1 packets received" in said
    launcher = box.kubectl("get", "pods", "-l", "app=web", "-o", "name").stdout.strip()
    until(lambda: "REACHED" in box.kubectl("logs", launcher, "-c", "guest-console-log").stdout)
    box.kubectl("delete", launcher, "--wait=false")
    until(lambda: box.engine.phase(box.space, "web") != "Running")
