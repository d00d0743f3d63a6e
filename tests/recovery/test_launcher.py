"""The supervisor: started once, by whoever needs it first, replaced where it is of another version, gone when idle."""

from __future__ import annotations

import subprocess
import sys

from labkit import launcher
from labkit.folders import make_private
from labkit.supervisor import Plan
from tests.support.home import LABKIT, Home, eventually


def test_many_commands_at_once_start_one_supervisor(home: Home) -> None:
    commands = [subprocess.Popen([LABKIT, "engine", "up"], env=home.environment) for _ in range(4)]
    assert [command.wait(60) for command in commands] == [0, 0, 0, 0]
    assert len(home.processes("labkit.supervisor")) == 1
    assert len(home.processes("labkit.cli controller")) == 1


def test_it_ends_by_itself_when_no_lab_has_run_for_a_while(home: Home) -> None:
    assert home.labkit("engine", "up", LABKIT_IDLE_MINUTES="0.05").returncode == 0
    for _ in eventually("nothing runs any more", 30):
        if home.processes() == []:
            break
    assert launcher.status(home.settings) is None


def test_a_supervisor_of_another_version_is_replaced(home: Home) -> None:
    settings = home.settings
    make_private(settings.runtime_dir)
    plan = Plan("0.0.1", str(settings.supervisor_socket), str(settings.state_dir / "supervisor.lock"), "/tmp", ())
    old = subprocess.Popen([sys.executable, "-m", "labkit.supervisor"], stdin=subprocess.PIPE, text=True)
    assert old.stdin is not None
    with old.stdin as stdin:
        stdin.write(plan.to_json() + "\n")
    for _ in eventually("the old one answers"):
        if launcher.status(settings):
            break
    done = home.labkit("engine", "up")
    assert "Replacing the supervisor of version 0.0.1" in done.stderr
    assert old.wait(10) == 0
    assert home.json("engine", "status")["version"] != "0.0.1"
