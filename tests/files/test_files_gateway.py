"""A real machine's files through a real gateway."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from tests.files.conftest import Machine
from tests.support.home import eventually

ODD = "a ü 'b' %2f+\n.bin"


def pieces(size: int) -> Iterator[bytes]:
    """A body whose size is not told before."""
    for _ in range(64):
        yield bytes(size // 64)


@pytest.mark.parametrize("size", [0, 3 * 2**20, pytest.param(50 * 2**20, marks=pytest.mark.slow)], ids=str)
def test_a_file_goes_up_and_comes_down_the_same_and_memory_stays_flat(machine: Machine, size: int) -> None:
    data, process = os.urandom(size), machine.gateway()
    machine.names()
    before = process.memory_info().rss
    assert machine.ask("PUT", "content", data, path=ODD) == (200, {"path": ODD, "size": size})
    assert machine.ask("GET", "content", path=f"/home/student/{ODD}") == (200, data)
    assert process.memory_info().rss - before < 8 * 2**20
    assert machine.root("stat -c '%U %a' /home/student/*.bin") == "student 644\n"
    assert machine.ask("DELETE", "content", path=ODD)[0] == 200


def test_what_is_downloaded_is_never_shown_as_a_page(machine: Machine) -> None:
    machine.ask("PUT", "content", b"<script>alert(1)</script>", path="é.html")
    _, told, _ = machine.answer("GET", "content", path="é.html")
    assert told["Content-Type"] == "application/octet-stream"
    assert told["X-Content-Type-Options"] == "nosniff"
    assert told["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert told["Content-Disposition"] == "attachment; filename=\"download\"; filename*=UTF-8''%C3%A9.html"


def test_a_folder_is_listed_with_kinds_sizes_and_what_is_free(machine: Machine) -> None:
    machine.root(
        "umask 022; cd /home/student; mkdir -p list/sub; cd list; printf 12345 > five; ln -s five link; mkfifo pipe"
    )
    found = machine.ask("GET", "folder", path="list")[1]
    kinds = [(entry["name"], entry["kind"]) for entry in found["entries"]]
    assert kinds == [("five", "file"), ("link", "link"), ("pipe", "other"), ("sub", "folder")]
    assert (found["path"], found["complete"], found["entries"][0]["size"]) == ("/home/student/list", True, 5)
    assert found["free"] > 2**20


def test_folders_are_made_and_things_renamed_and_removed(machine: Machine) -> None:
    assert machine.ask("POST", "folder", path="made")[0] == 201
    machine.ask("PUT", "content", b"x", path="made/one")
    assert machine.ask("POST", "rename", path="made/one", to="made/two")[0] == 200
    assert machine.names("made") == {"two"}
    assert machine.refused("DELETE", "content", path="made") == (409, "not-empty")
    assert machine.ask("DELETE", "content", path="made/two")[0] == 200
    assert machine.ask("DELETE", "content", path="made")[0] == 200


def test_a_file_that_is_replaced_keeps_its_permissions_and_a_link_stays_one(machine: Machine) -> None:
    machine.root("cd /home/student; echo old > run.sh; chmod 750 run.sh; chown student run.sh; ln -s run.sh link.sh")
    assert machine.ask("PUT", "content", b"new", path="link.sh")[0] == 200
    assert machine.root("cd /home/student; cat run.sh; stat -c ' %a' run.sh; readlink link.sh") == "new 750\nrun.sh\n"


@pytest.mark.parametrize(
    ("method", "what", "query", "refusal"),
    [
        ("GET", "folder", {"path": "nowhere"}, (404, "missing")),
        ("GET", "folder", {"path": "/root"}, (403, "denied")),
        ("GET", "folder", {"path": "/etc/passwd"}, (409, "not-a-folder")),
        ("GET", "folder", {"path": "a\0b"}, (400, "path")),
        ("GET", "folder", {}, (400, "path")),
        ("GET", "content", {"path": "/etc/shadow"}, (403, "denied")),
        ("GET", "content", {"path": "/dev/zero"}, (409, "not-a-file")),
        ("HEAD", "content", {"path": "/etc/passwd"}, None),
        ("PUT", "content", {"path": "/etc/new"}, (403, "denied")),
        ("PUT", "content", {"path": "/home/student"}, (409, "not-a-file")),
        ("PUT", "content", {"path": "nowhere/new"}, (404, "missing")),
        ("POST", "folder", {"path": "/home"}, (409, "exists")),
        ("POST", "rename", {"path": "/etc/passwd", "to": "/home"}, (409, "exists")),
    ],
)  # fmt: skip
def test_what_the_learner_may_not_do_or_is_not_there_is_refused(
    machine: Machine, method: str, what: str, query: dict[str, str], refusal: tuple[int, str] | None
) -> None:
    if refusal is None:
        assert machine.answer(method, what, **query)[0] == 405
    else:
        assert machine.refused(method, what, **query) == refusal


def test_an_upload_that_breaks_off_leaves_nothing_behind(machine: Machine) -> None:
    with machine.begin("broken", bytes(600_000)):
        for _ in eventually("an upload under way"):
            if machine.parts():
                break
    for _ in eventually("nothing left of it"):
        if not machine.parts():
            break
    assert "broken" not in machine.names()


def test_what_a_killed_gateway_left_of_an_upload_goes_with_the_next_one(machine: Machine) -> None:
    machine.root(
        "cd /home/student; touch .labkit-new.part .labkit-old.part; touch -d '2020-01-01 00:00:00' .labkit-old.part"
    )
    machine.root("cd /home/student; chown student .labkit-*")
    assert machine.ask("PUT", "content", b"whole", path="next")[0] == 200
    assert machine.parts() == {".labkit-new.part"}
    machine.root("rm /home/student/.labkit-new.part")


def test_what_a_command_of_labkits_makes_can_be_read_by_others(machine: Machine) -> None:
    assert machine.root("cd /tmp; echo made > readable; stat -c %a readable") == "644\n"


def test_a_full_disk_is_told_before_and_during_an_upload_and_nothing_stays(machine: Machine) -> None:
    machine.root("mkdir /mnt/small; mount -t tmpfs -o size=1m tmpfs /mnt/small; chown student /mnt/small")
    assert machine.refused("PUT", "content", bytes(2**21), path="/mnt/small/a") == (507, "full")
    assert machine.refused("PUT", "content", pieces(2**21), path="/mnt/small/a") == (507, "full")
    assert machine.names("/mnt/small") == set()


def test_a_file_may_not_be_too_large(machine: Machine) -> None:
    with socket.create_connection(("127.0.0.1", machine.port)) as connection:
        connection.sendall(machine.head("PUT", "content", str(2**40), path="big"))
        assert b" 413 " in connection.recv(100)


def test_a_lab_may_have_four_files_under_way_at_once(machine: Machine) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(4):
            stack.enter_context(machine.begin(f"slow{number}"))
        for _ in eventually("four uploads under way"):
            if len(machine.parts()) == 4:
                break
        assert machine.refused("GET", "content", path="/etc/passwd") == (429, "transfers")
    for _ in eventually("room again"):
        if machine.answer("GET", "content", path="/etc/passwd")[0] == 200:
            break
