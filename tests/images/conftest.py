"""The image is built once for all tests here; its packages stay in the user's cache."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from bare_machine import Machine

from labkit import images


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "labkit" / "packages"


@pytest.fixture(scope="session")
def images_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="session")
def built(images_dir: Path, cache_dir: Path) -> images.BuiltImage:
    return images.build("tiny", images_dir=images_dir, cache_dir=cache_dir)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An SSH key for people and one for the host, made by OpenSSH: private and public halves."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("person", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True)
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture(scope="session")
def machine(
    built: images.BuiltImage, keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """One booted machine with user data of every supported kind, and one key that is not supported."""
    user_data = {
        "hostname": "alpha",
        "users": [
            {
                "name": "student",
                "gecos": "A Student",
                "plain_text_passwd": "pass'word $x",
                "lock_passwd": False,
                "ssh_authorized_keys": [keys["person.pub"].strip()],
                "groups": "adm, lab",
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
            },
            {"name": "typist", "plain_text_passwd": "keyboard", "lock_passwd": False, "uid": 4242},
        ],
        "ssh_authorized_keys": [keys["person.pub"].strip()],
        "packages": ["nginx"],
        "write_files": [
            {"path": "/etc/ssh/ssh_host_ed25519_key", "content": keys["host"], "permissions": "0600"},
            {"path": "/etc/labkit/ttyd.secret", "content": "s3cret", "permissions": "0600"},
            {"path": "/etc/labkit/terminal-user", "content": "student"},
            {"path": "/srv/a b/é.txt", "content": "Grüße\n", "owner": "student:student", "permissions": "0640"},
            {"path": "/srv/binary", "content": "AAEC/w==", "encoding": "b64"},
        ],
        "runcmd": ["cd /srv", "echo in $(pwd) as $(id -un) > ran", ["sh", "-c", 'echo "$1" >> ran', "-", "a  b"]],
    }
    running = Machine(built.disk, tmp_path_factory.mktemp("vm"), user_data, "instance-id: i-1\nlocal-hostname: meta\n")
    try:
        running.serial.expect("labkit: tiny is ready")
        yield running
    finally:
        running.end()


@pytest.fixture(scope="session")
def student(machine: Machine, keys: dict[str, str]) -> Iterator[paramiko.SSHClient]:
    """The student, logged in over SSH with the key."""
    with login(machine, keys, "student") as client:
        yield client


def login(machine: Machine, keys: dict[str, str], user: str) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    host_key = paramiko.Ed25519Key.from_private_key(io.StringIO(keys["host"]))
    client.get_host_keys().add(f"[127.0.0.1]:{machine.ssh_port}", host_key.get_name(), host_key)
    key = paramiko.Ed25519Key.from_private_key(io.StringIO(keys["person"]))
    client.connect("127.0.0.1", machine.ssh_port, user, pkey=key, allow_agent=False, look_for_keys=False)
    return client
