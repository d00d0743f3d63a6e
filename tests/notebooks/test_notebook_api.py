"""The notebook's objects on a real lab: what they do, how they read, what an interrupt leaves."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGINT, pthread_kill

import pytest
from IPython.core.completer import Completer, provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import labkit
from labkit.errors import FileRefused, LabkitError, NotFound
from labkit.jupyter import session
from labkit.jupyter.files import Files
from labkit.jupyter.lab import Lab
from labkit.jupyter.machines import Machine
from tests.support.home import eventually, new_home


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """hello-lab, started without waiting, then waited for."""
    home = new_home()
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(home.environment)
    session._opened.cache_clear()
    found = labkit.start("hello-lab", wait=False)
    assert found.status.state == "starting"
    yield found.wait()
    os.environ.clear()
    os.environ.update(before)
    session._opened.cache_clear()
    home.end()


@pytest.fixture
def box(lab: Lab) -> Machine:
    return lab.machines["box"]


@pytest.fixture
def shell(lab: Lab) -> Iterator[InteractiveShell]:
    found = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    found.run_line_magic("load_ext", "labkit")
    yield found
    InteractiveShell.clear_instance()


def interrupt_when(ready: Callable[[], bool]) -> None:
    """As the kernel is interrupted, once something is so."""
    main = threading.main_thread().ident
    assert main is not None

    def wait() -> None:
        for _ in eventually("the time to interrupt", 20):
            if ready():
                return pthread_kill(main, SIGINT)

    threading.Thread(target=wait).start()


def test_a_command_is_shown_while_it_runs_and_gives_its_text_and_exit_status(
    box: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    done = box.run("echo one; echo two >&2; exit 3")
    assert (done.status, done.ok, sorted(done.lines)) == (3, False, ["one", "two"])
    assert capsys.readouterr() == ("one\n", "two\n")
    assert box.run("cat", stdin="typed", quiet=True).text == "typed"
    assert capsys.readouterr().out == ""


def test_an_interrupt_ends_the_command_and_all_that_it_started(box: Machine, tmp_path: Path) -> None:
    class Told:
        def write(self, text: str) -> None:
            (tmp_path / "told").write_text(text)

        def flush(self) -> None: ...

    interrupt_when((tmp_path / "told").exists)
    with contextlib.redirect_stdout(Told()), pytest.raises(KeyboardInterrupt):  # type: ignore[type-var]
        box.run("echo begun; (sleep 4321; sleep 4322) & sleep 4323; echo late > late")
    assert box.run("ps | grep '[s]leep 432'; ls", quiet=True).text == ""


def test_a_command_that_takes_too_long_is_ended(box: Machine) -> None:
    with pytest.raises(LabkitError, match="did not end within 1 s"):
        box.run("sleep 4324", timeout=1)
    assert not box.run("ps | grep '[s]leep 4324'", quiet=True).ok


def test_files_are_written_read_listed_and_copied(box: Machine, tmp_path: Path) -> None:
    box.files.write_text("a note.txt", "größer\n")
    assert box.files.read_text("a note.txt") == "größer\n"
    assert ("a note.txt", "file", "9") in [row[:3] for row in box.files.list().rows]
    assert box.files.get("a note.txt", tmp_path).read_text() == "größer\n"
    (tmp_path / "up.txt").write_text("up")
    box.files.put(tmp_path / "up.txt", "/tmp")
    assert box.run("cat /tmp/up.txt; rm 'a note.txt'", quiet=True).text == "up"
    with pytest.raises(FileRefused, match="there is no missing"):
        box.files.read_text("missing")


def test_the_screen_is_a_picture(box: Machine) -> None:
    assert box.screenshot().data.startswith(b"\x89PNG")


def test_a_pane_or_a_step_is_a_view_of_its_own(lab: Lab, box: Machine) -> None:
    shown = [box.terminal().show, box.vnc().show, box.open("console").show, labkit.step("note").show]
    assert shown == [{"pane": "box:terminal"}, {"pane": "box:vnc"}, {"pane": "box:console"}, {"step": "note"}]
    with pytest.raises(NotFound, match="did you mean 'console'"):
        box.open("consol")


def test_a_check_says_what_is_missing_and_progress_counts_what_is_done(lab: Lab, box: Machine) -> None:
    assert not lab.check("note")
    box.run("hostname > note.txt")
    checked = lab.check("note")
    assert (bool(checked), checked.verdict, lab.progress.done, lab.progress.points) == (True, "passed", ("note",), 10)
    assert "1 of 4 steps" in repr(lab.progress)
    with pytest.raises(NotFound, match="did you mean 'note'"):
        lab.check("not")


def test_everything_reads_well_as_plain_text_and_no_text_becomes_html(lab: Lab, box: Machine) -> None:
    assert repr(box).startswith("<machine box: running, 10.")
    for shown, word in (
        (lab, lab.id),
        (labkit.labs(), lab.id),
        (lab.machines, "running"),
        (labkit.templates(), "hello-lab"),
    ):
        bundle = shown._repr_mimebundle_()  # type: ignore[union-attr]
        assert word in (bundle[0] if isinstance(bundle, tuple) else bundle)["text/plain"]
    from labkit.jupyter.shown import Table

    assert "<b>" not in Table(("A",), [("<b>",)], empty="")._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("thing", [labkit.start, labkit.labs, labkit.templates, labkit.step, Lab, Machine, Files])
def test_everything_public_says_under_a_question_mark_what_it_does(thing: object, shell: InteractiveShell) -> None:
    shell.user_ns["thing"] = thing
    parts = [name for name in vars(thing) if not name.startswith("_")] if isinstance(thing, type) else []
    asked = ["thing", *(f"thing.{name}" for name in parts)]
    assert [one for one in asked if not shell.object_inspect(one)["docstring"]] == []


def completed(shell: InteractiveShell, typed: str) -> set[str]:
    """What Tab offers behind what was typed, as JupyterLab asks for it."""
    with provisionalcompleter():
        return {one.text for one in shell.Completer.completions(typed, len(typed))}


@pytest.mark.filterwarnings("ignore:.*pending deprecation")
def test_machines_labs_steps_and_templates_are_completed(lab: Lab, shell: InteractiveShell) -> None:
    shell.user_ns.update(machines=lab.machines, templates=labkit.templates(), labs=labkit.labs())
    completer: Completer = shell.Completer
    completer.use_jedi = False
    assert "box" in str(completer.complete('machines["')[1])
    assert "two-machines" in str(completer.complete('templates["')[1])
    assert lab.id in str(completer.complete('labs["')[1])
    assert shell.complete("no", "%lab check no")[1] == ["note"]
    shell.user_ns.update(lab=lab, labkit=labkit)
    assert completed(shell, 'labkit.start("two') == {"two-machines"}
    assert completed(shell, 'labkit.step("no') == completed(shell, "lab.check('no") == {"note"}
    assert "note" not in completed(shell, 'print("no')
    assert {"start", "stop", "check"} <= set(shell.complete("", "%lab ")[1])


def test_the_magics_do_what_the_objects_do(
    lab: Lab, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.run_line_magic("lab", "progress").done == ("note",)
    shell.run_cell_magic("machine", "box", "x=$(hostname)\necho from $x\n")
    assert "from box" in capsys.readouterr().out
    with pytest.raises(LabkitError, match="exit status 4"):
        shell.run_cell_magic("machine", "box", "exit 4")
    with pytest.raises(Exception, match="did you mean 'start'"):
        shell.run_line_magic("lab", "strat hello-lab")


def test_a_machine_is_paused_and_goes_on(box: Machine) -> None:
    box.pause()
    assert box.status.state == "paused"
    box.resume()
    assert box.status.state == "running"


def test_a_lab_ends_with_its_block(lab: Lab) -> None:
    with lab:
        assert labkit.labs()[0].id == lab.id
    assert (lab.status.state, len(labkit.labs()), len(labkit.labs(ended=True))) == ("stopped", 0, 1)


def test_an_interrupted_start_goes_on_and_the_cell_run_again_finds_its_lab(lab: Lab, shell: InteractiveShell) -> None:
    interrupt_when(lambda: len(labkit.labs()) == 1)
    with pytest.raises(KeyboardInterrupt):
        shell.run_line_magic("lab", "start hello-lab")
    (begun,) = labkit.labs()
    assert (labkit.start("hello-lab").id, begun.status.state) == (begun.id, "running")
    begun.stop()
    assert len(labkit.labs()) == 0
