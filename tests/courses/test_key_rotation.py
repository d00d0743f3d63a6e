"""A platform changes its key while people are launched from it."""

from __future__ import annotations

import pytest

from labkit.store import Platform, SqliteStore
from lti_app.lti.platform_keys import PAUSE
from tests.courses.conftest import Visit
from tests.support.platform import Platform as Simulator

SAM = "4"


@pytest.mark.parametrize("keep", [True, False], ids=["the old key stays published", "the old key is withdrawn"])
def test_launches_with_a_new_key_are_taken_once_the_platform_may_be_asked_again(
    visit: Visit, moodle: Simulator, registered: Platform, store: SqliteStore, keep: bool
) -> None:
    activity = moodle.site.activity("2", "Hello", lab="hello-lab")
    statuses = [visit(SAM, activity=activity.id).status_code]
    moodle.rotate(keep=keep)
    statuses.append(visit(SAM, activity=activity.id).status_code)
    store._write("UPDATE platform SET tried = tried - ?", PAUSE)  # so much later
    statuses += [visit(SAM, activity=activity.id).status_code for _ in range(2)]
    assert (statuses, moodle.asked("certs")) == ([200, 400, 200, 200], 2)


def test_a_rotation_longer_than_the_pause_after_the_last_one_refuses_nobody(
    visit: Visit, moodle: Simulator, registered: Platform, store: SqliteStore
) -> None:
    activity = moodle.site.activity("2", "Hello", lab="hello-lab")
    for keep in (True, False, True):
        store._write("UPDATE platform SET tried = tried - ?", PAUSE)
        assert visit(SAM, activity=activity.id).status_code == 200
        moodle.rotate(keep=keep)
