"""Checks on a real machine: whose they are, what they give, and what a program beside the lab can and cannot do."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from labkit.errors import Conflict, Forbidden, MachineUnreachable, NotFound
from labkit.model import OperationState, Principal
from labkit.orchestrator import beside
from tests.support.engine import running_engine, until
from tests.support.service import OPERATOR, Service

ADA = Principal("local", "ada", name="Ada")
LAB = """\
apiVersion: labkit/v1
kind: Lab
name: checked
title: Checked
machines:
  - name: box
    type: vm
    image: {bundled: tiny}
    memory: 256Mi
    panes: [terminal]
    users: [{name: student}]
    userData:
      runcmd:
        - mv /usr/bin/dropbear /usr/bin/dropbear-at-last
        - printf '#!/bin/sh\\nsleep 3\\nexec dropbear-at-last "$@"\\n' > /usr/bin/dropbear
        - chmod 755 /usr/bin/dropbear
variables: {word: {value: amber}}
checks: {user: {user: student}, slow: {timeout: 2s}, stranger: {user: nobody-here}, endless: {timeout: 3s}}
"""
SCRIPTS = {
    "user/check-box": '#!/bin/sh\necho "$(id -un) has $LABKIT_WORD"\n',
    "partly/check-box": "#!/bin/sh\necho half of it\necho score: 0.5\nexit 1\n",
    "slow/check-box": "#!/bin/sh\nsleep 60\n",
    "stranger/check-box": "#!/bin/sh\nexit 0\n",
    "watched/check-box": "#!/bin/sh\ntest -e /tmp/watched || { echo not there; exit 1; }\n",
    "both/check-box": "#!/bin/sh\ntest -e /tmp/both && echo inside\n",
    "both/check.py": (
        "import lab\nif lab.run('box', 'test -e /tmp/both').status:\n    lab.not_yet('outside')\nprint('outside')\n"
    ),
    "both/solve-box": "#!/bin/sh\ntouch /tmp/both /tmp/made\n",
    "both/cleanup-box": "#!/bin/sh\nrm /tmp/made; echo x >> /tmp/cleaned\n",
    "cleaned/check-box": "#!/bin/sh\ntest ! -e /tmp/made && cat /tmp/cleaned\n",
    "greeting/check.py": (
        "import lab\nwith lab.connect('box', 22) as ssh:\n    ssh.settimeout(10)\n    print(ssh.recv(3).decode())\n"
        "print(lab.variables['word'], lab.variables['address_box'])\n"
    ),
    "walls/check.py": (
        "import os, socket\nassert not any(map(os.path.exists, ('/etc/passwd', '/home', '/var', '{home}')))\n"
        "assert sorted(os.listdir('/check')) == ['check.py', 'lab.py', 'variables.json']\n"
        "assert 'HOME' not in os.environ\nassert len(os.listdir('/proc/1/task')) == 1\n"
        "try:\n    socket.create_connection(('127.0.0.1', {port}), 2)\nexcept OSError as error:\n    print(error)\n"
        "else:\n    raise AssertionError('reached')\n"
    ),
    "broken/check.py": "raise ValueError('oops')\n",
    "nobody/check.py": "import lab\nlab.connect('box', 81)\n",
    "typo/check.py": "import lab\nlab.run('bax', 'true')\n",
    "endless/check.py": "print('x', flush=True)\nwhile True: pass\n",
    "flood/check.py": "import sys\nfor _ in range(4000): print('y' * 999)\nsys.exit(1)\n",
}
PAGE = "# Page\n\n" + "".join(
    f"## {step} {{#{step} points=10{' poll=10s' * (step == 'watched')}}}\n\n"
    for step in dict.fromkeys(n.split("/")[0] for n in SCRIPTS)
)
PAGE += """
:::collect {#report machine=box path="/root/report.bin" points=5}
Write it.
:::

[Put it there]{upload=box file="media/sheet.txt" to="/home/student/sheet.txt"}
[or there]{upload=box file="media/sheet.txt" to="/root/sheet.txt"}
"""


SHEET = "a sheet\n" * 100_000


@dataclass(frozen=True)
class Running:
    """A lab of the template above."""

    service: Service
    lab: str
    at_once: Mapping[str, Any]
    """What the check of the step `user` said when the lab was just ready."""

    def check(self, step: str) -> Mapping[str, Any]:
        """What the check of a step said."""
        return self.service.do(self.service.labs.check(ADA, self.lab, step))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("home")
    with running_engine() as engine:
        port = re.findall(r"127\.0\.0\.1:(\d+)", engine.kubeconfig.read_text())[0]
        files = {
            f"checks/{name}": text.replace("{port}", port).replace("{home}", str(home))
            for name, text in SCRIPTS.items()
        }
        for name, text in {"lab.yaml": LAB, "instructions/1.md": PAGE, "media/sheet.txt": SHEET, **files}.items():
            (home / "checked" / name).parent.mkdir(parents=True, exist_ok=True)
            (home / "checked" / name).write_text(text)
        service = Service(home, engine.kubeconfig, templates_dir=str(home))
        with service.at_work():
            operation = service.labs.start(ADA, "checked")
            service.do(operation)
            at_once = service.do(service.labs.check(ADA, operation.lab, "user"))
            yield Running(service, operation.lab, at_once)
        service.store.close()  # type: ignore[attr-defined]


def said(found: Mapping[str, Any]) -> tuple[str, str]:
    return found["verdict"], found["feedback"]


def test_a_lab_is_ready_when_its_machine_can_be_signed_in_to_though_its_terminal_answers_before(lab: Running) -> None:
    assert said(lab.at_once) == ("passed", "student has amber")


def test_a_check_is_run_as_the_user_that_the_author_names_with_the_labs_variables(lab: Running) -> None:
    assert said(lab.check("user")) == ("passed", "student has amber")


def test_a_check_may_give_a_part_of_the_points_and_the_best_part_counts(lab: Running) -> None:
    found = lab.check("partly")
    assert (said(found), found["score"], found["points"]) == (("not_yet", "half of it"), 0.5, 5.0)
    assert lab.service.labs.progress(ADA, lab.lab).scores["partly"] == 0.5


def test_a_check_that_does_not_end_or_has_no_user_to_run_as_is_no_attempt(lab: Running) -> None:
    assert said(lab.check("slow")) == ("error", "The check did not end within 2 seconds. Please try again.")
    assert said(lab.check("stranger")) == ("error", "The check could not be run. Please tell those who run the lab.")
    assert not {"slow", "stranger"} & lab.service.labs.progress(ADA, lab.lab).results.keys()


def test_all_scripts_of_a_step_have_to_pass_and_each_time_they_do_it_is_cleaned_up_after(lab: Running) -> None:
    assert said(lab.check("both")) == ("not_yet", "outside")
    lab.service.do(lab.service.labs.solve(OPERATOR, lab.lab, "both"))
    assert said(lab.check("cleaned")) == ("not_yet", "The check gave no reason.")
    assert said(lab.check("both")) == ("passed", "inside\noutside")
    assert said(lab.check("cleaned")) == ("passed", "x")


def test_a_program_beside_the_lab_reaches_the_machines_ports(lab: Running) -> None:
    address = lab.service.labs.status(ADA, lab.lab).machines[0].address
    assert said(lab.check("greeting")) == ("passed", f"SSH\namber {address}")


def test_it_reaches_neither_the_computers_files_nor_its_network(lab: Running) -> None:
    assert said(lab.check("walls")) == ("passed", "[Errno 111] Connection refused")


@pytest.mark.parametrize(
    ("step", "feedback"),
    [
        ("broken", "The check could not be run. Please tell those who run the lab."),
        ("typo", "The check could not be run. Please tell those who run the lab."),
        ("nobody", "nothing answers on port 81 of machine box. Please try again."),
        ("endless", "The check did not end within 3 seconds. Please try again."),
    ],
)
def test_one_that_falls_over_reaches_nobody_or_does_not_end_is_no_attempt(
    lab: Running, step: str, feedback: str
) -> None:
    assert said(lab.check(step)) == ("error", feedback)


def test_of_one_that_says_too_much_the_beginning_is_kept(lab: Running) -> None:
    begun = time.monotonic()
    assert said(lab.check("flood")) == ("not_yet", "\n".join(["y" * 999] * 2))
    assert time.monotonic() - begun < 10


def test_solving_is_for_operators_and_for_steps_that_have_a_script(lab: Running) -> None:
    with pytest.raises(Forbidden):
        lab.service.labs.solve(ADA, lab.lab, "both")
    with pytest.raises(NotFound, match="has no solve- script"):
        lab.service.labs.solve(OPERATOR, lab.lab, "user")


def test_a_check_by_itself_counts_only_where_it_passes(lab: Running) -> None:
    labs = lab.service.labs
    assert said(lab.service.do(labs.poll(ADA, lab.lab, "watched"))) == ("not_yet", "not there")
    assert "watched" not in labs.progress(ADA, lab.lab).results
    labs.execute(OPERATOR, lab.lab, "box", "touch /tmp/watched", timeout=20)
    assert said(lab.service.do(labs.poll(ADA, lab.lab, "watched")))[0] == "passed"
    assert "watched" in labs.progress(ADA, lab.lab).ticks
    with pytest.raises(Conflict, match="is not checked by itself"):
        labs.poll(ADA, lab.lab, "user")


def test_a_file_is_fetched_from_its_machine_and_the_last_one_waits_for_its_mark(lab: Running) -> None:
    labs = lab.service.labs
    assert "there is no /root/report.bin" in lab.service.ended(labs.collect(ADA, lab.lab, "report")).error
    for content in ("old", "new\\377"):
        labs.execute(OPERATOR, lab.lab, "box", f"printf '{content}' > /root/report.bin", timeout=20)
        lab.service.do(labs.collect(ADA, lab.lab, "report"))
    assert labs.handed_in(OPERATOR, lab.lab, "report") == b"new\xff"
    assert labs.waiting(OPERATOR)[0].given == ("/root/report.bin", "4")
    labs.execute(OPERATOR, lab.lab, "box", "head -c 1048577 /dev/zero > /root/report.bin", timeout=20)
    assert "larger than the 1 MiB" in lab.service.ended(labs.collect(ADA, lab.lab, "report")).error


def test_a_file_of_the_lab_is_put_into_the_machine_as_the_learner_may(lab: Running) -> None:
    labs = lab.service.labs
    allowed, denied = labs.instructions(ADA, lab.lab).uploads
    lab.service.do(labs.upload(ADA, lab.lab, allowed.key))
    done = labs.execute(OPERATOR, lab.lab, "box", "stat -c '%U %s' /home/student/sheet.txt", timeout=20)
    assert done.stdout == f"student {len(SHEET)}\n"
    assert "may not do that: /root" in lab.service.ended(labs.upload(ADA, lab.lab, denied.key)).error
    with pytest.raises(NotFound, match="no file to put into a machine"):
        labs.upload(ADA, lab.lab, "0" * 12)


def test_an_operator_has_a_step_checked_by_a_mended_check_and_its_word_counts_instead(lab: Running) -> None:
    labs, script = lab.service.labs, lab.service.settings.templates_dir / "checked/checks/user/check-box"
    assert said(lab.check("user"))[0] == "passed"
    script.write_text("#!/bin/sh\necho mended: $LABKIT_WORD\nexit 1\n")
    found = lab.service.do(labs.recheck(OPERATOR, lab.lab, "user"))
    assert said(found) == ("not_yet", "Your teacher had this checked again. mended: amber")
    assert said(lab.check("user")) == ("passed", "student has amber")  # the learner's own stays as his lab has it
    progress = labs.progress(ADA, lab.lab)
    assert (progress.scores["user"], "user" in progress.ticks) == (0, False)
    with pytest.raises(Forbidden):
        labs.recheck(ADA, lab.lab, "user")


def test_a_mended_check_that_needs_a_machine_the_lab_has_not_is_refused(lab: Running) -> None:
    folder = lab.service.settings.templates_dir / "checked"
    other = LAB.replace("variables:", "  - {name: more, type: vm, image: {bundled: tiny}, memory: 256Mi}\nvariables:")
    (folder / "lab.yaml").write_text(other)
    (folder / "checks/partly/check-more").write_text("#!/bin/sh\n")
    with pytest.raises(Conflict, match="has no machine more"):
        lab.service.labs.recheck(OPERATOR, lab.lab, "partly")
    with pytest.raises(NotFound, match="has no check"):
        lab.service.labs.recheck(OPERATOR, lab.lab, "gone")


def test_a_paused_machine_is_named_and_no_program_is_run(lab: Running) -> None:
    lab.service.do(lab.service.labs.pause(ADA, lab.lab))
    try:
        for step in ("user", "greeting"):
            assert said(lab.check(step)) == ("error", "Machine box is paused: resume the lab first.")
    finally:
        lab.service.do(lab.service.labs.resume(ADA, lab.lab))


def test_a_check_that_was_ended_leaves_no_program_behind(lab: Running) -> None:
    operation = lab.service.labs.check(ADA, lab.lab, "endless")
    while not lab.service.labs.events(ADA, operation.id):
        time.sleep(0.02)
    lab.service.labs.cancel(ADA, operation.id)
    assert lab.service.ended(operation).state is OperationState.CANCELLED
    assert not list(Path("/tmp").glob("labkit-check-*"))


def test_one_that_is_ended_while_its_sandbox_is_made_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for _ in range(30):  # about one in three was left, before
        with pytest.raises(KeyboardInterrupt):
            beside.run(None, None, None, "", {}, 5, still=_interrupt)

    def left() -> list[list[str]]:
        lines = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
        return [line for line in lines if any(word.startswith(str(tmp_path)) for word in line)]

    until(lambda: left() == [])


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_a_program_whose_labkit_is_gone_ends_by_itself_a_little_after_its_time(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text(
        "import time\n\ndef main():\n    print('begun', flush=True)\n    time.sleep(600)\n"
    )
    near, far = socket.socketpair()
    with near, far:
        line = beside.command_line(str(tmp_path), far.fileno(), 0.0)
        done = subprocess.run(line, capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout, done.returncode) == ("begun\n", 128 + signal.SIGKILL)


@pytest.mark.slow
def test_a_machine_that_has_no_ssh_server_is_ready_by_its_terminal_half_a_minute_later(tmp_path: Path) -> None:
    text = LAB.replace("exec dropbear-at-last", "exec sleep 600")
    for name, content in {"lab.yaml": text, "instructions/1.md": "# Page\n"}.items():
        (tmp_path / "checked" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "checked" / name).write_text(re.sub("checks: .*\n", "", content))
    with running_engine() as engine:
        service = Service(tmp_path, engine.kubeconfig, templates_dir=str(tmp_path))
        with service.at_work():
            operation = service.labs.start(ADA, "checked")
            service.do(operation)
            with pytest.raises(MachineUnreachable):
                service.labs.execute(OPERATOR, operation.lab, "box", "true", timeout=20)
        service.store.close()  # type: ignore[attr-defined]
