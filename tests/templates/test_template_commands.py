"""`labkit lint` and `labkit templates`, as a person or a program runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from labkit.cli import main
from labkit.commands.templates import new
from labkit.templates import available

Labkit = Callable[..., Result]
CASES = Path(__file__).parent / "cases"


@pytest.fixture
def labkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Labkit:
    """Runs a command with settings of its own; another's templates are not seen."""
    monkeypatch.setenv("LABKIT_STATE_DIR", str(tmp_path))
    return lambda *words: CliRunner().invoke(main, words)


def test_lint_names_each_fault_with_its_file_and_ends_with_status_1(labkit: Labkit) -> None:
    folder = CASES / "five-faults"
    done = labkit("lint", str(folder))
    lines = done.stdout.splitlines()
    assert (done.exit_code, len(lines)) == (1, 5)
    assert lines[0].startswith(f"{folder}/lab.yaml:3: name: 'Five_Faults' is no name")
    assert done.stderr == "five-faults: 5 faults\n"


def test_lint_of_a_good_template_says_so(labkit: Labkit) -> None:
    done = labkit("lint", "hello-lab")
    assert (done.exit_code, done.stdout) == (0, "hello-lab: no faults\n")


def test_lint_judges_a_template_by_a_policy_before_it_is_used(labkit: Labkit, tmp_path: Path) -> None:
    policy = tmp_path / "tried.yaml"
    policy.write_text("apiVersion: labkit/v1\nkind: Policy\nimages: [bundled]\n")
    assert labkit("lint", "hello-lab", "--policy", str(policy)).exit_code == 0
    policy.write_text("apiVersion: labkit/v1\nkind: Policy\ntotal: {memory: 64Mi}\n")
    done = labkit("lint", "hello-lab", "--policy", str(policy))
    assert (
        done.exit_code,
        "memory: 256Mi asked for, 64Mi at most: not allowed by the rule 'total'" in done.stdout,
    ) == (1, True)
    policy.write_text("apiVersion: labkit/v1\nkind: Policy\nimage: []\n")
    assert "tried.yaml:3: unknown key 'image'" in labkit("lint", "hello-lab", "--policy", str(policy)).stderr


def test_lint_gives_programs_the_faults_as_json(labkit: Labkit) -> None:
    done = labkit("lint", "--json", str(CASES / "broken-lab"))
    faults = json.loads(done.stdout)["faults"]
    assert (done.exit_code, len(faults)) == (1, 7)
    assert faults[-1]["file"] == str(CASES / "broken-lab" / "lab.yaml")
    assert faults[-1]["line"] == 5


def test_lint_of_nothing_names_the_nearest_and_lint_without_a_folder_is_wrong_use(labkit: Labkit) -> None:
    done = labkit("lint", "helo-lab")
    assert (done.exit_code, done.stderr) == (1, "Error: there is no template 'helo-lab'; did you mean 'hello-lab'?\n")
    assert labkit("lint").exit_code == 2


def test_templates_list_shows_names_titles_and_problems(labkit: Labkit, tmp_path: Path) -> None:
    (tmp_path / "templates/bad").mkdir(parents=True)
    (tmp_path / "templates/bad/lab.yaml").write_text("title: x\n")
    bundled = [f"{row.name:14}  bundled  {row.title}" for row in available(tmp_path)]
    assert labkit("templates", "list").stdout.splitlines() == [
        "bad             own      4 faults: run 'labkit lint bad'",
        *bundled,
    ]
    rows = json.loads(labkit("templates", "list", "--json").stdout)
    assert [row["name"] for row in rows][:2] == ["bad", "broken-service"]


def test_templates_show_tells_machines_and_steps_and_no_secrets(labkit: Labkit) -> None:
    done = labkit("templates", "show", "hello-lab")
    assert "Machine box (vm): bundled:tiny, 1 cpu, 256 MiB; panes: terminal, console, vnc" in done.stdout
    assert "Step note: Write a note (checked), 10 points" in done.stdout
    shown = json.loads(labkit("templates", "show", "--json", "hello-lab").stdout)
    assert [step["id"] for step in shown["steps"]] == ["look", "console", "note", "screen"]
    assert (shown["max_points"], "password" in json.dumps(shown)) == (25, False)


def test_templates_show_of_a_broken_one_points_to_lint(labkit: Labkit) -> None:
    folder = str(CASES / "five-faults")
    done = labkit("templates", "show", folder)
    assert (done.exit_code, done.stderr) == (1, f"Error: '{folder}' has 5 faults; see 'labkit lint {folder}'\n")


def test_the_installed_command_lints_too() -> None:
    command = [str(Path(sys.executable).parent / "labkit"), "lint", str(CASES / "broken-lab")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 7)


def test_a_template_is_added_replaced_with_a_word_on_its_steps_and_removed(labkit: Labkit, tmp_path: Path) -> None:
    folder = tmp_path / "src/my-lab"
    made = CliRunner().invoke(new, [str(folder)])
    assert made.output == f"Made {folder}. Next: labkit lint {folder}, labkit start ./{folder}\n"
    assert labkit("lint", str(folder)).stdout == "my-lab: no faults\n"
    assert labkit("templates", "add", str(folder)).stdout.startswith("my-lab: My lab (version ")
    (folder / "instructions/2-more.md").write_text("# More\n\n## More {#more}\n")
    done = labkit("templates", "add", str(folder))
    assert (done.exit_code, "(steps added more); say --replace" in done.stderr) == (1, True)
    assert labkit("templates", "add", str(folder), "--replace").stdout.endswith("  steps added: more\n")
    assert labkit("templates", "remove", "my-lab").stdout == "my-lab is removed\n"
    assert labkit("templates", "show", "my-lab").exit_code == 1


def test_a_new_template_begins_with_the_one_that_is_named_and_never_over_another(
    labkit: Labkit, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    assert CliRunner().invoke(new, [str(folder), "--from", "broken-service"]).exit_code == 0
    assert labkit("lint", str(folder)).stdout == "shop: no faults\n"
    again = CliRunner().invoke(new, [str(folder)])
    assert "is there already" in str(again.exception)
    wrong = CliRunner().invoke(new, [str(tmp_path / "My Lab")])
    assert "'My Lab' is no name" in str(wrong.exception)


def test_the_schema_for_editors_is_printed(labkit: Labkit) -> None:
    assert json.loads(labkit("templates", "schema").stdout)["title"] == "labkit lab.yaml"


def test_hints_are_told_apart_from_faults(labkit: Labkit, tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    CliRunner().invoke(new, [str(folder)])
    text = (folder / "lab.yaml").read_text()
    (folder / "lab.yaml").write_text(text.replace("lifetime: {max: 2h, idle: 45m}\n", ""))
    done = labkit("lint", str(folder))
    assert (done.exit_code, done.stdout.splitlines()[0].endswith("(hint)")) == (0, True)
    assert len(json.loads(labkit("lint", "--json", str(folder)).stdout)["hints"]) == 1
