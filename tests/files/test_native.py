"""Native programs on a real machine: the system's ssh and sftp, files copied, a forwarded port."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.files.conftest import Machine
from tests.support.home import LABKIT, eventually


def test_ssh_runs_a_command_as_the_first_user_without_a_question(machine: Machine) -> None:
    done = machine.home.labkit("ssh", "hello-lab", "box", "--", "id -un; echo oops >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("student\n", "oops\n", 7)
    assert machine.home.labkit("ssh", "hello-lab", "--", "hostname").stdout == "box\n"
    assert list(machine.home.settings.runtime_dir.glob("ssh-*")) == []


@pytest.mark.slow
def test_the_real_sftp_speaks_through_it(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("from here")
    server = f"{LABKIT} ssh hello-lab box /usr/lib/sftp-server"
    done = subprocess.run(
        ["sftp", "-q", "-b", "-", "-D", server],
        input=f"put {tmp_path}/notes\nget notes {tmp_path}/back\n",
        env=machine.home.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, (tmp_path / "back").read_text()) == (0, "from here"), done.stderr


@pytest.mark.slow
def test_folders_are_copied_both_ways_with_permissions_and_odd_names(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "tree/ü b").mkdir(parents=True)
    (tmp_path / "tree/ü b/run me").write_bytes(bytes(300_000))
    (tmp_path / "tree/ü b/run me").chmod(0o750)
    (tmp_path / "tree/empty").touch()
    assert machine.home.labkit("cp", "-r", f"{tmp_path}/tree", "hello-lab/box:").returncode == 0
    assert machine.home.labkit("cp", "-r", "hello-lab:tree", f"{tmp_path}/back").returncode == 0
    found = {str(path.relative_to(tmp_path / "back")): path.stat().st_mode for path in tmp_path.glob("back/**/*")}
    assert {name: oct(mode)[-3:] for name, mode in found.items() if "run" in name} == {"ü b/run me": "750"}
    assert (tmp_path / "back/ü b/run me").read_bytes() == bytes(300_000)
    assert (tmp_path / "back/empty").read_bytes() == b""


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("cp", "a", "b"), 2, "LAB/MACHINE:PATH"),
        (("cp", "nothing", "hello-lab:"), 1, "there is no nothing here"),
        (("cp", "hello-lab:/etc/shadow", "."), 1, "may not do that: /etc/shadow"),
        (("ssh", "nowhere"), 1, "there is no lab 'nowhere'"),
        (("forward", "hello-lab", "web", "80"), 1, "no machine 'web'; name one of: box"),
    ],
)
def test_what_cannot_be_is_one_sentence(machine: Machine, words: tuple[str, ...], status: int, said: str) -> None:
    done = machine.home.labkit(*words)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_forwarded_port_serves_many_and_says_why_one_is_refused(machine: Machine) -> None:
    with forwarded(machine, 7681) as (port, process):
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert b" 404 " in connection.recv(100)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    with forwarded(machine, 9) as (port, process):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            assert connection.recv(100) == b""
        process.terminate()
        assert b"nothing answers on port 9 of machine box" in process.communicate()[1]


@contextlib.contextmanager
def forwarded(machine: Machine, port: int) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """`labkit forward`, and the port that it says."""
    command = [LABKIT, "forward", "hello-lab", "box", str(port)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=machine.home.environment, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().split()[0].split(b":")[1]), process
        finally:
            process.kill()


@pytest.mark.slow
def test_a_paused_machine_and_a_key_that_was_taken_away_have_a_remedy(machine: Machine, tmp_path: Path) -> None:
    machine.root("mv /home/student/.ssh/authorized_keys /root/kept")
    done = machine.home.labkit("cp", "hello-lab:notes", str(tmp_path))
    machine.root("mv /root/kept /home/student/.ssh/authorized_keys")
    assert "does not let labkit in as student" in done.stderr
    machine.home.labkit("pause", "hello-lab")
    done = machine.home.labkit("cp", "hello-lab:notes", str(tmp_path))
    machine.home.labkit("resume", "hello-lab")
    assert f"machine box is paused: `labkit resume {machine.lab}` lets it go on" in done.stderr


@pytest.mark.slow
def test_ssh_trusts_no_machine_but_the_one_that_labkit_made(machine: Machine) -> None:
    """Nobody can sign in afterwards: a reset gives the machine its key again, and proves the remedy."""
    key = "/etc/dropbear/dropbear_ed25519_host_key"
    machine.root(f"rm {key}; dropbearkey -t ed25519 -f {key}; kill $(cat /run/labkit/kept.dropbear)")
    for _ in eventually("the other host key", 60):
        done = machine.home.labkit("ssh", "hello-lab", "--", "true")
        if "Host key verification failed" in done.stderr:
            break
    assert done.returncode == 255
    assert machine.home.labkit("reset", "hello-lab", "--yes").returncode == 0
    assert machine.home.labkit("ssh", "hello-lab", "--", "true").returncode == 0
