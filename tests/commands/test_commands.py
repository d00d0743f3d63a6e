"""The command line with one real lab: what people read, what programs read, and what it says when asked wrongly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.cluster import Cluster
from tests.support.home import Home, new_home


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """A home with one running hello-lab."""
    found = new_home()
    started = found.labkit("start", "hello-lab")
    assert started.returncode == 0, started.stderr
    yield found
    found.end()


def test_doctor_finds_this_machine_fit_and_lists_every_setting(home: Home) -> None:
    done = home.labkit("doctor")
    assert done.returncode == 0, done.stdout
    for word in ("QEMU", "acceleration", "network", "image tiny", "browser parts", "Jupyter", "cluster", "state_dir ="):
        assert word in done.stdout


def test_doctor_names_a_missing_image_and_its_remedy() -> None:
    home = new_home(image=False)
    done = home.labkit("doctor", "--json")
    image = next(found for found in json.loads(done.stdout)["findings"] if found["name"] == "image tiny")
    assert (done.returncode, image["ok"]) == (1, False)
    assert "labkit images build tiny" in image["remedy"]
    home.end()


def test_starting_again_finds_the_running_lab(home: Home) -> None:
    assert home.json("start", "hello-lab")["id"] == home.json("list")[0]["id"]
    assert len(home.machines()) == 1


def test_status_shows_machines_and_how_to_sign_in(home: Home) -> None:
    shown = home.labkit("status", "hello-lab").stdout
    assert "State: running" in shown
    assert "Sign in to box as student with password " in shown
    machine = home.json("status", "hello-lab")["machines"][0]
    assert (machine["name"], machine["state"]) == ("box", "running")
    assert [pane["name"] for pane in machine["panes"]] == ["terminal", "console", "vnc"]


def test_kubectl_sees_the_machine(home: Home) -> None:
    path = home.labkit("engine", "kubeconfig", "--path").stdout.strip()
    shown = Cluster(Path(path)).kubectl("get", "vms,vmis", "--all-namespaces")
    assert "virtualmachine.kubevirt.io/box" in shown
    assert "virtualmachineinstance.kubevirt.io/box" in shown
    assert "Running" in shown


def test_a_link_opens_a_pane_and_its_ticket_stands_in_the_fragment_alone(home: Home) -> None:
    links = home.json("open", "hello-lab")
    assert [link["pane"] for link in links] == ["terminal", "console", "vnc"]
    page, fragment = links[1]["url"].split("#ticket=")
    origin = page.split("/panes/")[0]
    with connect(
        page.replace("http", "ws") + "stream",
        origin=origin,  # type: ignore[arg-type]
        subprotocols=["plain.kubevirt.io", "labkit.ticket." + fragment],  # type: ignore[list-item]
    ) as console:
        console.send(b"\n")
        assert b"login:" in b"".join(received(console, b"login:"))


def received(stream: object, until: bytes) -> Iterator[bytes]:
    """What a stream says, until it has said this."""
    said = b""
    while until not in said:
        message = stream.recv(timeout=30)  # type: ignore[attr-defined]
        said += message
        yield message


def test_exec_runs_as_root_and_passes_output_and_exit_status_on(home: Home) -> None:
    done = home.labkit("exec", "hello-lab", "box", "id -un; echo oops >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("root\n", "oops\n", 7)


def test_the_learner_holds_no_key_to_the_check(home: Home) -> None:
    both = "/root/.ssh/authorized_keys /home/student/.ssh/authorized_keys"
    keys = home.labkit("exec", "hello-lab", "box", f"sort {both} | uniq -d; ls /home/student/.ssh").stdout
    assert keys == "authorized_keys\n"
    readable = home.labkit("exec", "hello-lab", "box", "su student -c 'cat /etc/ssh/ssh_host_ed25519_key'")
    assert readable.returncode != 0


def test_a_check_is_not_yet_passed_and_then_it_is(home: Home) -> None:
    first = home.labkit("check", "hello-lab", "note")
    assert first.returncode == 1
    assert first.stdout.startswith("not yet: There is no file note.txt")
    home.labkit("exec", "hello-lab", "box", "hostname > /home/student/note.txt")
    second = home.json("check", "hello-lab", "note")
    assert second["verdict"] == "passed"


def test_a_paused_lab_says_so_and_is_checked_without_an_attempt(home: Home) -> None:
    assert home.json("pause", "hello-lab")["state"] == "paused"
    assert "is paused" in home.labkit("check", "hello-lab", "note").stdout
    assert "machine box is paused" in home.labkit("exec", "hello-lab", "box", "true").stderr
    assert home.json("resume", "hello-lab")["state"] == "running"


def test_a_reset_machine_has_forgotten_what_was_written(home: Home) -> None:
    home.labkit("exec", "hello-lab", "box", "touch /home/student/kept; sync")
    assert home.labkit("reset", "hello-lab", "--yes").returncode == 0
    assert home.labkit("exec", "hello-lab", "box", "ls /home/student/kept").returncode != 0


def test_a_labs_end_is_put_off_and_its_events_tell_all_that_happened(home: Home) -> None:
    before = home.json("status", "hello-lab")["ends"]
    assert home.json("extend", "hello-lab", "30m")["ends"] == pytest.approx(before + 1800, abs=1)
    events = home.json("events", "hello-lab")
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert {"ready", "extended"} <= {event["stage"] for event in events}


def test_what_loses_a_disk_says_so_and_does_not_go_on_where_nobody_answers(home: Home) -> None:
    done = home.labkit("reset", "hello-lab", "box")
    assert "What was written to the disks of box will be lost. Go on?" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize("words", [("extend", "hello-lab", "soon"), ("reservations", "add", "x", "--from", "noon")])
def test_wrong_use_is_exit_status_2(home: Home, words: tuple[str, ...]) -> None:
    assert home.labkit(*words).returncode == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("start", "helo-lab"), "hello-lab"),
        (("status", "nothing"), "there is no lab 'nothing'; `labkit list` shows yours"),
        (("check", "hello-lab", "nothing"), "step 'nothing' of hello-lab has no check"),
        (("open", "hello-lab", "box", "nothing"), "has no pane 'box nothing'"),
        (("exec", "hello-lab", "nothing", "true"), "nothing"),
        (("cancel", "hello-lab"), "nothing is under way in lab"),
        (("restore", "hello-lab", "first", "--yes"), "no snapshot 'first'; it has none"),
        (("reservations", "add", "hello-lab", "--labs", "3"), "LABKIT_MOST_LABS"),
    ],
)
def test_what_is_not_there_is_one_sentence_and_exit_status_1(home: Home, words: tuple[str, ...], sentence: str) -> None:
    done = home.labkit(*words)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_lab_yaml_with_five_faults_gives_five_messages_with_their_lines(home: Home) -> None:
    folder = home.folder / "faulty"
    folder.mkdir()
    (folder / "lab.yaml").write_text(
        "apiVersion: labkit/v1\nkind: Lab\nname: Faulty\ntitle: Faulty\nmachines:\n  - name: box\n    type: vm\n"
        "    image: {bundled: tiny}\n    cpu: none\n    memory: lots\n    panes: [scren]\n    colour: red\n"
    )
    done = home.labkit("start", str(folder))
    assert done.returncode == 1
    faults = [line for line in done.stderr.splitlines() if "lab.yaml:" in line]
    assert [int(line.split("lab.yaml:")[1].split(":")[0]) for line in faults] == [3, 9, 10, 11, 12]


def test_a_lab_with_a_fault_in_its_pages_is_not_started(home: Home) -> None:
    folder = home.folder / "paged"
    shutil.copytree(Path("labkit/templates/bundled/hello-lab"), folder)
    (folder / "lab.yaml").write_text((folder / "lab.yaml").read_text().replace("name: hello-lab", "name: paged"))
    page = folder / "instructions/1-look.md"
    page.write_text(page.read_text().replace("{{ learner }}", "{{ lerner }}"))
    done = home.labkit("start", str(folder))
    assert done.returncode == 1
    assert "instructions/1-look.md:5" in done.stderr
    assert "lerner" in done.stderr
    assert len(home.json("list")) == 1


def test_after_the_stop_nothing_is_left(home: Home) -> None:
    assert home.json("stop", "hello-lab")["state"] == "stopped"
    assert home.leftovers() == []
    assert home.labkit("list").stdout.startswith("No labs")
