"""`labkit serve` on a real engine: here and from afar the same is seen and done, and nobody gets at another's lab."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

import labkit
from labkit import launcher
from labkit.errors import Conflict, FileRefused, Forbidden, LabkitError, NotBuilt, NotFound, SetupError, Unauthenticated
from labkit.jupyter import session
from labkit.jupyter.lab import Lab
from labkit.model import LabState, PaneMode, Principal, Role
from labkit.orchestrator.labs import Labs
from labkit.remote.calls import TABLE, Api
from labkit.remote.client import remote_labs
from labkit.settings import load
from labkit.view import View, Watch
from tests.api.conftest import ADA, Served, ready
from tests.support.calls import arguments
from tests.support.engine import until
from tests.support.home import LABKIT
from tests.support.jupyter import LOGIN, running_jupyter
from tests.support.service import OPERATOR

BOB = Principal("local", "bob")
WAYS = ("here", "from afar")
OPERATORS_READS = ("results", "marks", "reservations", "waiting")
NOTHING_THERE = ("media", "handed_in")
READS = [call for call in TABLE if call.method == "GET" and hasattr(Labs, call.name) and call.name not in NOTHING_THERE]


@pytest.mark.parametrize("call", READS, ids=lambda call: call.name)
def test_from_afar_the_same_is_read_as_here(served: Served, lab: str, call: Any) -> None:
    who = replace(OPERATOR, name="") if call.name in OPERATORS_READS else ADA
    operation = served.home.labs.operations(ADA, lab)[0].id
    here, afar = (getattr(served.labs(who, way), call.name) for way in WAYS)
    wanted = here(who, **arguments(call, lab, operation))
    if call.name == "instructions":
        wanted = wanted.handed_out(served.home.labs.progress(ADA, lab))
    found = afar(who, **arguments(call, lab, operation))
    assert str(found) == str(wanted) if call.name in ("labs", "status") else found == wanted


@pytest.mark.parametrize("way", WAYS)
def test_a_check_is_run_and_kept(served: Served, lab: str, way: str) -> None:
    labs = served.labs(ADA, way)
    done = served.done(labs, ADA, labs.check(ADA, lab, "note"))
    assert (done.result or {})["verdict"] == "not_yet"
    assert labs.progress(ADA, lab).results["note"].feedback.startswith("There is no file")


@pytest.mark.parametrize("way", WAYS)
def test_a_lab_is_paused_goes_on_and_lives_longer(served: Served, lab: str, way: str) -> None:
    labs = served.labs(ADA, way)
    assert served.done(labs, ADA, labs.pause(ADA, lab)).state == "done"
    assert labs.status(ADA, lab).state is LabState.PAUSED
    assert served.done(labs, ADA, labs.resume(ADA, lab)).state == "done"
    ends = labs.status(ADA, lab).ends
    labs.extend(ADA, lab, 3600)
    assert labs.status(ADA, lab).ends > ends


@pytest.mark.parametrize("way", WAYS)
def test_refusals_are_the_same(served: Served, lab: str, way: str) -> None:
    labs = served.labs(ADA, way)
    with pytest.raises(Conflict, match="by its check, not by hand"):
        labs.tick(ADA, lab, "note", True)
    with pytest.raises(NotFound, match="there is no template 'none'"):
        labs.start(ADA, "none")
    with pytest.raises(Forbidden, match="are for operators"):
        labs.execute(ADA, lab, "box", "id", timeout=5)
    with pytest.raises(LabkitError, match="no name for a snapshot"):
        labs.snapshot(ADA, lab, "No Name")


@pytest.mark.parametrize("way", WAYS)
def test_a_pane_link_opens_the_pane(served: Served, lab: str, way: str) -> None:
    link = served.labs(ADA, way).pane_link(ADA, lab, "box", "terminal", mode=PaneMode.VIEW)
    request = urllib.request.Request(f"{served.url}{link.path}state", headers={"Labkit-Ticket": link.ticket})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert (json.load(answer)["mode"], link.path) == ("view", f"panes/{lab}/box/terminal/")


@pytest.mark.parametrize("way", WAYS)
def test_a_view_is_answered(served: Served, lab: str, way: str) -> None:
    view = View(served.labs(ADA, way), ADA, lab, "en")
    assert view.handle("view", {})["instructions"]["title"] == "Hello, machine"
    assert view.handle("status", {})["machines"][0]["state"] == "running"


@pytest.fixture
def notebook(served: Served, lab: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Ada's lab in a notebook, on a computer where nothing of labkit's runs."""
    for name, value in {"HOME": str(tmp_path), "LABKIT_URL": served.url, "LABKIT_TOKEN": served.token(ADA)}.items():
        monkeypatch.setenv(name, value)
    session._opened.cache_clear()
    yield labkit.start("hello-lab")
    assert not (tmp_path / ".local/state/labkit/supervisor.lock").exists()
    session._opened.cache_clear()


def test_a_notebook_from_afar_has_the_services_lab_templates_and_steps(notebook: Lab, lab: str) -> None:
    assert (notebook.id, labkit.labs()[0].id, notebook.status.state) == (lab, lab, "running")
    assert {row[2] for row in labkit.templates()._table().rows} == {"service"}
    assert (notebook.check("note").verdict, notebook.progress.done) == ("not_yet", ())
    assert notebook.show().show == {"layout": "side by side"}
    assert notebook.machines["box"].screenshot().data.startswith(b"\x89PNG")


def test_a_command_from_a_notebook_from_afar_runs_as_the_learner_and_is_shown_at_its_end(
    notebook: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    box = notebook.machines["box"]
    capsys.readouterr()
    done = box.run("id -un; echo fault >&2; exit 3")
    assert (done.status, done.lines) == (3, ["student", "fault"])
    assert capsys.readouterr() == ("student\n", "fault\n")
    with pytest.raises(LabkitError, match="did not end within 1 s"):
        box.run("sleep 9", timeout=1)
    with pytest.raises(NotBuilt, match="cannot be given input"):
        box.run("cat", stdin="typed")


def test_nobody_runs_a_command_in_anothers_machine(served: Served, lab: str) -> None:
    with pytest.raises(NotFound, match="there is no lab"):
        served.labs(BOB).execute(BOB, lab, "box", "id", timeout=5, as_learner=True)


def test_files_go_to_a_machine_and_come_back_from_a_notebook_from_afar(notebook: Lab, tmp_path: Path) -> None:
    files = notebook.machines["box"].files
    files.write_text("a note.txt", "größer\n")
    assert files.read_text("a note.txt") == "größer\n"
    (tmp_path / "up/in").mkdir(parents=True)
    (tmp_path / "up/in/big").write_bytes(os.urandom(1 << 20))
    files.put(tmp_path / "up")
    assert files.get("up", tmp_path / "down").joinpath("in/big").read_bytes() == (tmp_path / "up/in/big").read_bytes()
    assert {"a note.txt", "up"} <= {row[0] for row in files.list().rows}
    with pytest.raises(FileRefused, match=r"there is no .*missing"):
        files.read_text("missing")


def test_jupyters_panels_and_panes_are_the_services(served: Served, notebook: Lab, tmp_path: Path) -> None:
    names = ("HOME", "LABKIT_URL", "LABKIT_TOKEN")
    (tmp_path / "jupyter").mkdir()
    with running_jupyter(tmp_path / "jupyter", environ={name: os.environ[name] for name in names}) as jupyter:
        offered = jupyter.json("GET", "labkit/api/templates")[1]["templates"]
        assert {one["source"] for one in offered} == {"service"}
        assert [one["id"] for one in jupyter.json("GET", "labkit/api/labs")[1]["labs"]] == [notebook.id]
        asked = {"machine": "box", "pane": "terminal"}
        link = jupyter.json("POST", f"labkit/api/labs/{notebook.id}/view/pane_link", asked)[1]
        ticket = {**LOGIN, "Labkit-Ticket": link["ticket"]}
        status, _, said = jupyter.ask("GET", f"labkit/{link['path']}state", **ticket)
        assert (status, json.loads(said)["state"]) == (200, "running")
        assert jupyter.ask("GET", f"labkit/files/{notebook.id}/box/folder?path=.", **ticket)[0] == 200


def test_a_view_to_look_at_opens_panes_to_look_at_only(served: Served, lab: str) -> None:
    watch = Watch(served.home.labs, ADA, lab)
    link = watch.handle("pane_link", {"machine": "box", "pane": "terminal"})
    request = urllib.request.Request(f"{served.url}{link['path']}state", headers={"Labkit-Ticket": link["ticket"]})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["mode"] == "view"
    assert watch.handle("view", {"language": "en"})["credentials"] == []
    with pytest.raises(Forbidden, match="change nothing"):
        watch.handle("check", {"step": "note"})


@pytest.mark.parametrize("call", TABLE, ids=lambda call: call.name)
def test_no_row_shows_or_does_anything_to_another_learners_lab(served: Served, lab: str, call: Any) -> None:
    before = served.home.labs.operations(ADA, lab)
    given = arguments(call, lab, before[0].id)
    names_it = {"lab", "operation"} & set(given)
    for way in WAYS if call.name not in ("whoami", "view") else WAYS[1:]:
        try:
            found = getattr(served.labs(BOB, way), call.name)(BOB, **given)
        except (NotFound, Forbidden):
            continue
        assert not names_it, "it was answered"
        assert lab not in str(found)
    assert served.home.labs.operations(ADA, lab) == before


def test_an_operator_may_from_afar_what_he_may_here(served: Served, lab: str) -> None:
    olga = served.labs(Principal("local", "olga", role=Role.OPERATOR))
    assert olga.execute(OPERATOR, lab, "box", "id -u", timeout=10).stdout == "0\n"
    assert lab in [found.id for found in olga.labs(OPERATOR)]


def test_who_asks_is_the_tokens_holder_whatever_principal_is_named(served: Served, lab: str) -> None:
    bobs: Api = served.labs(BOB)
    assert bobs.whoami(ADA) == BOB
    assert bobs.labs(OPERATOR) == []


def test_what_is_not_served_from_afar_says_so(served: Served, lab: str) -> None:
    with pytest.raises(NotBuilt, match="not served from afar"):
        served.labs(ADA).port(ADA, lab, "box", 22)


def test_the_command_line_works_from_afar_and_starts_nothing(served: Served, lab: str, tmp_path: Path) -> None:
    afar = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "LABKIT_URL": served.url,
        "LABKIT_TOKEN": served.token(ADA),
    }
    afar |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    words = [LABKIT, "open", "hello-lab", "--print"]
    done = subprocess.run(words, env=afar, capture_output=True, text=True, check=False)
    assert f"{served.url}panes/{lab}/box/console/#ticket=" in done.stdout
    with pytest.raises(SetupError, match="LABKIT_URL is set"):
        launcher.ensure(load(afar))
    assert not (tmp_path / ".local/state/labkit/supervisor.lock").exists()


@pytest.mark.slow
def test_a_child_that_dies_is_started_again(served: Served, lab: str) -> None:
    pid = served.children()["web"]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: served.children()["web"]["pid"] not in (pid, None), 20)
    until(lambda: ready(served), 30)
    assert served.labs(ADA).status(ADA, lab).state is LabState.RUNNING


def test_no_secret_is_in_a_childs_surroundings_or_a_log(served: Served, lab: str) -> None:
    token = served.home.store.add_token(ADA, scope="all", note="", expires=2e9)[1]
    labs = remote_labs(served.url, token)
    ticket = labs.pane_link(ADA, lab, "box", "terminal").ticket
    logs = "".join(path.read_text() for path in served.home.settings.logs_dir.glob("*.log"))
    assert "GET /api/v1/labs/<lab>" in logs
    assert not [word for word in (token, ticket, ticket.split(".")[2]) if word in logs]
    assert "LABKIT_TOKEN" not in psutil.Process(served.children()["web"]["pid"]).environ()


def test_neither_another_command_nor_other_settings_end_a_service(served: Served) -> None:
    settings = served.home.settings
    launcher.ensure(settings)
    with pytest.raises(SetupError, match="systemctl stop"):
        launcher.stop(settings)
    with pytest.raises(SetupError, match="with other settings"):
        launcher.ensure(replace(settings, spares=3))
    with pytest.raises(SetupError, match="runs here already"):
        launcher.serve(settings, 1, [])


def test_a_lab_is_stopped_from_afar(served: Served, lab: str) -> None:
    labs = served.labs(ADA)
    assert served.done(labs, ADA, labs.stop(ADA, lab)).state == "done"
    assert labs.status(ADA, lab).state is LabState.STOPPED


def test_a_revoked_token_ends_at_once_and_sigterm_ends_all(served: Served) -> None:
    row, token = served.home.store.add_token(ADA, scope="all", note="", expires=2e9)
    labs = remote_labs(served.url, token)
    labs.labs(ADA)
    served.home.store.revoke_token(row.id)
    with pytest.raises(Unauthenticated):
        labs.labs(ADA)
    below = psutil.Process(served.process.pid).children(recursive=True)
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(20) == 0
    assert [process for process in below if process.is_running()] == []
