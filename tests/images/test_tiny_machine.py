"""tiny boots on bare QEMU, takes its user data and opens its ways in. One boot for all."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from contextlib import closing

import paramiko
import pytest
from bare_machine import JsonLines, Machine, wait_for
from conftest import login
from PIL import Image, ImageChops
from websockets import Subprotocol
from websockets.sync.client import ClientConnection, connect


def run(client: paramiko.SSHClient, command: str) -> str:
    """What a command says over SSH."""
    _, out, _ = client.exec_command(command, timeout=30)
    return out.read().decode()


def http_status(machine: Machine, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{machine.ttyd_port}{path}", timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_hostname_of_the_user_data_wins_over_that_of_the_meta_data(student: paramiko.SSHClient) -> None:
    assert run(student, "hostname; cat /etc/hostname").split() == ["alpha", "alpha"]


def test_a_user_has_groups_a_home_and_sudo_without_a_password(student: paramiko.SSHClient) -> None:
    assert set(run(student, "id -Gn").split()) == {"student", "adm", "lab"}
    assert run(student, "pwd; sudo -n id -un").split() == ["/home/student", "root"]


def test_the_given_host_key_is_the_one_that_ssh_shows(student: paramiko.SSHClient, keys: dict[str, str]) -> None:
    transport = student.get_transport()
    assert transport is not None
    assert transport.get_remote_server_key().get_base64() == keys["host.pub"].split()[1]


def test_keys_at_the_top_level_let_root_in(machine: Machine, keys: dict[str, str]) -> None:
    with login(machine, keys, "root") as root:
        assert run(root, "id -un").strip() == "root"


def test_root_cannot_log_in_with_a_password(machine: Machine) -> None:
    with paramiko.Transport(("127.0.0.1", machine.ssh_port)) as transport:
        transport.start_client(timeout=30)
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_password("root", "")


def test_a_user_can_log_in_over_ssh_with_the_password(machine: Machine) -> None:
    with paramiko.Transport(("127.0.0.1", machine.ssh_port)) as transport:
        transport.start_client(timeout=30)
        transport.auth_password("student", "pass'word $x")
        assert transport.is_authenticated()


def test_files_are_written_with_owner_permissions_and_encoding(student: paramiko.SSHClient) -> None:
    assert run(student, "stat -c '%a %U:%G' '/srv/a b/é.txt'; cat '/srv/a b/é.txt'") == "640 student:student\nGrüße\n"
    assert run(student, "stat -c %a /srv/binary; od -An -tx1 /srv/binary").split() == ["644", "00", "01", "02", "ff"]


def test_runcmd_is_one_script_of_strings_and_lists(student: paramiko.SSHClient) -> None:
    assert run(student, "cat /srv/ran") == "in /srv as root\na  b\n"


@pytest.mark.parametrize("key", ["packages", "users[1].uid"])
def test_a_key_that_is_not_supported_is_named_on_the_console(machine: Machine, key: str) -> None:
    assert f'labkit: user data: key "{key}" is not supported by tiny' in machine.serial.said


def test_nothing_secret_reached_the_console(machine: Machine) -> None:
    assert "s3cret" not in machine.serial.said
    assert "keyboard" not in machine.serial.said


def test_a_user_logs_in_on_the_serial_console_with_the_password(machine: Machine) -> None:
    machine.serial.expect("alpha login: ")
    start = machine.serial.type("student")
    machine.serial.expect("Password:", start)
    machine.serial.type("pass'word $x")
    machine.serial.expect("student@alpha:~$", start)
    start = machine.serial.type("echo $((6 * 7)) answers")
    machine.serial.expect("42 answers", start)
    machine.serial.type("exit")


def test_the_screen_shows_text_and_typed_keys_arrive(machine: Machine, student: paramiko.SSHClient) -> None:
    before = Image.open(machine.screen()).convert("L")
    assert before.getextrema()[1] > 100, "the screen is dark"
    for text, known_by in (("typist\n", "login.*typist"), ("keyboard\n", "-sh"), ("echo keys > /tmp/typed\n", None)):
        machine.press(text)
        if known_by:
            wait_for(f"process {known_by}", lambda sign=known_by: run(student, f"ps | grep '[ /]{sign}'") or None)
    assert wait_for("the typed file", lambda: run(student, "cat /tmp/typed 2>/dev/null") or None) == "keys\n"
    assert ImageChops.difference(before, Image.open(machine.screen()).convert("L")).getbbox() is not None


def test_ttyd_answers_only_below_its_secret_path(machine: Machine) -> None:
    assert http_status(machine, "/s3cret/") == 200
    assert http_status(machine, "/") == 404


def read_until(link: ClientConnection, text: str) -> str:
    said = ""
    while text not in said:
        message = link.recv(timeout=30)
        assert isinstance(message, bytes)
        said += message[1:].decode(errors="replace") if message[:1] == b"0" else ""
    return said


def test_the_terminal_is_a_login_shell_of_the_user_and_follows_its_size(machine: Machine) -> None:
    with connect(f"ws://127.0.0.1:{machine.ttyd_port}/s3cret/ws", subprotocols=[Subprotocol("tty")]) as link:
        link.send(json.dumps({"AuthToken": "", "columns": 91, "rows": 31}).encode())
        read_until(link, "student@alpha:~$")
        link.send(b"0stty size; tty | cut -c-9; echo $TERM\r")
        read_until(link, "31 91\r\n/dev/pts/\r\nxterm-256color\r\n")
        link.send(b"1" + json.dumps({"columns": 111, "rows": 22}).encode())
        link.send(b"0stty size\r")
        read_until(link, "22 111\r\n")


def test_the_guest_agent_answers(machine: Machine) -> None:
    with closing(JsonLines(machine.folder / "agent")) as agent:
        assert agent.ask("guest-ping") == {"return": {}}
        assert agent.ask("guest-get-host-name") == {"return": {"host-name": "alpha"}}


def test_the_network_has_address_route_and_name_server(student: paramiko.SSHClient) -> None:
    assert "inet 10.0.2.15/24" in run(student, "ip addr show eth0")
    assert "default via 10.0.2.2 dev eth0" in run(student, "ip route")
    assert "nameserver 10.0.2.3" in run(student, "cat /etc/resolv.conf")
    assert "1 packets received" in run(student, "ping -c 1 10.0.2.2")


@pytest.mark.slow
def test_user_data_is_not_applied_again_after_a_reboot(machine: Machine, keys: dict[str, str]) -> None:
    with login(machine, keys, "root") as root:
        run(root, "echo kept > /srv/ran; passwd -l typist; sync")
        start = len(machine.serial.said)
        run(root, "reboot")
    machine.serial.expect("labkit: tiny is ready", start)
    with login(machine, keys, "root") as root:
        assert run(root, "cat /srv/ran; hostname; grep -c student /etc/passwd").split() == ["kept", "alpha", "1"]


def test_the_power_button_ends_the_machine(machine: Machine) -> None:
    machine.monitor.ask("system_powerdown")
    assert machine.process.wait(timeout=30) == 0
