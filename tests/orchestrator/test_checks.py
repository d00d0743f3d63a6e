"""How a check's script is run: by what its first line says, away from its own text, with the lab's variables."""

import subprocess

import pytest

from labkit.orchestrator.checks import wrapped


def run(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What the machine does: `sh -s` with the wrapped script as its input."""
    return subprocess.run(["sh", "-s"], input=wrapped(script, variables), capture_output=True, text=True, check=False)


def test_its_exit_status_and_output_are_the_checks() -> None:
    done = run("#!/bin/sh\necho 'not there'\nexit 3\n")
    assert (done.returncode, done.stdout) == (3, "not there\n")


def test_a_command_that_reads_its_input_does_not_eat_the_rest_of_the_script() -> None:
    assert run("#!/bin/sh\ncat > /dev/null\nread line\necho still here\nexit 1\n").stdout == "still here\n"


def test_the_first_line_says_what_runs_it() -> None:
    assert run("#!/usr/bin/env python3\nimport sys\nprint(6 * 7)\nsys.exit(2)\n").stdout == "42\n"


@pytest.mark.parametrize("value", ["Ada", "O'Hara; rm -rf /", "$(id)", "a\nb"])
def test_variables_come_by_their_own_names_and_as_they_are(value: str) -> None:
    assert run('#!/bin/sh\nprintf %s "$LABKIT_LEARNER"\n', learner=value).stdout == value


def test_nothing_of_it_is_left_behind() -> None:
    done = run('#!/bin/sh\nls -l "$0"; test -e "$0"\n')
    assert done.returncode == 0
    path = done.stdout.split()[-1]
    assert subprocess.run(["ls", path], capture_output=True, check=False).returncode != 0
