"""`labkit lti …` against a platform that answers, with this tool served to it; its keys replaced; its outbox killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from labkit.settings import Settings
from labkit.store import SqliteStore
from lti_app.application import create_app
from lti_app.commands import lti
from lti_app.lti.keys import ToolKeys
from tests.courses.test_outbox import Course
from tests.lti.conftest import direct_labs
from tests.support.engine import until
from tests.support.platform import Platform as Simulator


@pytest.fixture
def served(settings: Settings, store: SqliteStore, moodle: Simulator) -> Iterator[Settings]:
    """The settings of this tool, which answers at the address that they name."""
    server = make_server("127.0.0.1", 0, lambda environ, start: app(environ, start), threaded=True)
    found = replace(settings, public_url=f"http://127.0.0.1:{server.server_port}")
    app = create_app(found, direct_labs(found, store), store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    moodle.jwks_uri = f"{found.public_url}/lti/jwks"
    yield found
    server.shutdown()
    server.server_close()


def run(settings: Settings, *words: str) -> Result:
    return CliRunner().invoke(lti, words, env={**settings.environment(), "HOME": str(settings.state_dir)})


def said(settings: Settings, *words: str) -> Any:
    return json.loads(run(settings, *words, "--json").stdout)


def add(settings: Settings, moodle: Simulator) -> str:
    words = ("platforms", "add", moodle.origin, "--client-id", moodle.client, "--deployment", "1")
    return str(said(settings, *words)["id"])


def test_a_platform_is_added_listed_switched_and_removed(settings: Settings, moodle: Simulator) -> None:
    platform = add(settings, moodle)
    assert run(settings, "platforms", "add", moodle.origin, "--client-id", moodle.client, "--deployment", "1").exception
    assert [one["token_url"] for one in said(settings, "platforms", "list")] == [f"{moodle.origin}/mod/lti/token.php"]
    assert run(settings, "platforms", "switch", platform, "on").exit_code == 0
    assert json.loads(settings.embedders_file.read_text()) == [moodle.origin]
    assert run(settings, "platforms", "switch", platform, "off").exit_code == 0
    assert json.loads(settings.embedders_file.read_text()) == []  # its pages may hold no pane in a frame any more
    assert [one["state"] for one in said(settings, "platforms", "list")] == ["off"]
    assert run(settings, "platforms", "remove", platform, "--yes").exit_code == 0
    assert said(settings, "platforms", "list") == []


def test_a_platform_gets_one_more_deployment_and_other_labs(settings: Settings, moodle: Simulator) -> None:
    platform = add(settings, moodle)
    done = run(settings, "platforms", "set", platform, "--deployment", "9", "--labs", "net-*", "--labs", "hello-lab")
    assert done.exit_code == 0, done.output
    (found,) = said(settings, "platforms", "list")
    assert (set(found["deployments"]), found["templates"]) == ({moodle.deployment, "9"}, ["net-*", "hello-lab"])
    assert run(settings, "platforms", "set", platform, "--deployment", "9").exit_code == 0
    assert said(settings, "platforms", "list") == [found]
    assert "--deployment" in run(settings, "platforms", "set", platform).output


def test_the_self_test_names_what_is_missing_and_nothing_else(served: Settings, moodle: Simulator) -> None:
    platform = add(served, moodle)
    tried = {one["name"]: one for one in said(served, "platforms", "test", platform)}
    assert {name for name, one in tried.items() if not one["good"]} == {"own address", "courses"}
    moodle.fault("token", status=400, times=9)
    moodle.fault("certs", status=500)
    again = run(served, "platforms", "test", platform)
    assert again.exit_code == 1
    assert again.stdout.count("missing") == 6


def test_a_registration_link_is_for_one_origin(served: Settings, store: SqliteStore) -> None:
    url = said(served, "register-link", "https://moodle.example.org/course", "--labs", "two-*")["url"]
    assert urlsplit(url).path.startswith("/lti/register/")
    assert run(served, "register-link", "moodle").exit_code == 2
    (row,) = [row for row in store.audit_log(last=5) if row.action == "registration link"]
    assert row.target == "https://moodle.example.org"


def test_what_a_platform_has_to_be_told_is_shown(served: Settings) -> None:
    assert said(served, "addresses")["Initiate login URL"] == f"{served.public_url}/lti/login"


def test_a_replaced_key_is_used_at_once_and_the_old_one_stays_good(served: Settings, moodle: Simulator) -> None:
    course = Course(SqliteStore(served.database), served, moodle)
    work = course.launch()
    before = ToolKeys(served).signing
    assert run(served, "keys", "rotate").exit_code == 0
    course.passes(work, "first")
    course.outbox.turn()
    assert (course.item.shown("4"), ToolKeys(served).signing.kid == before.kid) == (40, False)
    assert before.kid in {key["kid"] for key in ToolKeys(served).jwks()["keys"]}


def test_grades_that_wait_are_listed_with_the_reason(settings: Settings, store: SqliteStore, moodle: Simulator) -> None:
    course = Course(store, settings, moodle)
    work = course.launch()
    moodle.down = True
    course.passes(work, "first")
    course.outbox.turn()
    (row,) = said(settings, "grades")
    assert (row["work"], row["state"]) == (work.id, "waiting")
    assert "does not answer" in row["reason"]


@contextmanager
def worker(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "lti_app.outbox_worker"]
    with subprocess.Popen(command, env={**os.environ, **settings.environment()}, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.mark.slow  # a minute: what a killed worker had claimed is free after that
def test_a_worker_that_is_killed_in_mid_grade_is_followed_by_one_that_finishes(
    settings: Settings, store: SqliteStore, moodle: Simulator
) -> None:
    course = Course(store, settings, moodle)
    course.passes(course.launch(), "first")
    moodle.fault("scores", seconds=8)
    with worker(settings) as first:
        until(lambda: moodle.asked("scores"), 30)
        first.send_signal(signal.SIGKILL)
    with worker(settings) as second:
        until(lambda: len(course.item.taken) > 1, 90)
        second.terminate()
        assert (second.wait(20), course.item.shown("4")) == (0, 40)


def test_a_worker_ends_when_it_is_told_to(settings: Settings, store: SqliteStore, moodle: Simulator) -> None:
    course = Course(store, settings, moodle)
    course.passes(course.launch(), "first")
    with worker(settings) as process:
        until(lambda: course.item.shown("4") == 40, 30)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0
