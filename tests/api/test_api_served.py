"""`labkit serve` on a real engine: here and from afar the same is seen and done, and nobody gets at another's lab."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from labkit import app, launcher
from labkit.app import Labs
from labkit.errors import Conflict, Forbidden, LabkitError, NotBuilt, NotFound, SetupError, Unauthenticated
from labkit.model import LabState, Operation, PaneMode, Principal, Role
from labkit.remote.calls import TABLE, Api
from labkit.remote.client import remote_labs
from labkit.settings import load
from labkit.view import View, Watch
from tests.support.engine import EngineProcess, running_engine, until
from tests.support.home import LABKIT
from tests.support.service import OPERATOR, Service

ADA, BOB = Principal("local", "ada"), Principal("local", "bob")
WAYS = ("here", "from afar")
SAMPLES = {
    "machine": "box", "pane": "terminal", "step": "note", "question": "view", "path": "media/box.svg", "seconds": 60.0,
    "name": "one", "done": True, "given": ["x"], "hint": "h", "params": {}, "command": "id", "timeout": 5.0,
    "activity": "hello-lab", "begins": 0.0, "ends": None, "labs": 1, "spares": 0, "reservation": "r",
    "template": "none", "work": "w", "points": 1.0, "upload": "u",
}  # fmt: skip


@dataclass
class Served:
    """A service, and who asks it."""

    home: Service
    url: str
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    def labs(self, who: Principal, way: str = "from afar") -> Any:
        """`Labs` as somebody has them."""
        if way == "here":
            return self.home.labs
        self.home.store.learner(who)
        return remote_labs(self.url, self.home.store.add_token(who, scope="all", note="", expires=2e9)[1])

    def done(self, labs: Labs, who: Principal, operation: Operation) -> Operation:
        """The operation, followed to its end."""
        for _ in app.follow(labs, who, operation, replace(self.home.settings, url=self.url)):
            pass
        return labs.operation(who, operation.id)

    def children(self) -> dict[str, Any]:
        """What the service runs, by name."""
        found = launcher.status(self.home.settings) or {"children": []}
        return {child["name"]: child for child in found["children"]}


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with running_engine() as found:
        yield found


@pytest.fixture(scope="module")
def served(engine: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = Service(tmp_path_factory.mktemp("home"), engine.kubeconfig, idle_minutes="0.01", most_lab_hours="4")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, **home.settings.environment(), "LABKIT_TOKEN": "not for children"}
    process = subprocess.Popen([LABKIT, "serve", "--port", str(port)], env=environment, stdout=subprocess.DEVNULL)
    found = Served(home, f"http://127.0.0.1:{port}/", environment, process)
    try:
        until(lambda: ready(found), 60)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def ready(served: Served) -> bool:
    try:
        with urllib.request.urlopen(f"{served.url}readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def lab(served: Served) -> str:
    """Ada's lab, started from afar, and running."""
    labs = served.labs(ADA)
    operation = labs.start(ADA, "hello-lab")
    assert served.done(labs, ADA, operation).state == "done"
    return str(operation.lab)


def arguments(call: Any, lab: str, operation: str) -> dict[str, Any]:
    known = {**SAMPLES, "lab": lab, "operation": operation}
    needed = [name for name, each in call.signature.parameters.items() if each.default is each.empty]
    return {name: known[name] for name in needed}


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
    token = served.home.store.add_token(ADA, scope="all", note="", expires=2e9)[1]
    afar = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "LABKIT_URL": served.url, "LABKIT_TOKEN": token}
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
