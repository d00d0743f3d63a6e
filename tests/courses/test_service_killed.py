"""Each process of the service is killed in mid-launch, mid-start and mid-grade: nothing is lost or doubled."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.support.engine import until
from tests.support.platform import Activity, Person
from tests.support.served import Served, running_service
from tests.support.visitor import Visitor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PARTS = ("lti_app.web_server", "gateway", "controller", "labkit.local", "lti_app.outbox_worker")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with running_service() as found:
        yield found


@pytest.fixture(scope="module")
def activity(served: Served) -> Activity:
    return served.platform.site.activity("2", "Hello", lab="hello-lab")


@pytest.fixture
def learner(served: Served, numbers: Iterator[str]) -> Iterator[Visitor]:
    user, site = next(numbers), served.platform.site
    site.people[user] = Person(user, "Learner", user)
    site.courses["2"].learners.append(user)
    with Visitor(served, user, "2", patience=60) as found:
        yield found


@pytest.fixture(scope="module")
def numbers() -> Iterator[str]:
    return map(str, itertools.count(100))


def not_error(result: dict[str, str]) -> str:
    return "" if result["verdict"] == "error" else result["verdict"]


@pytest.mark.parametrize("part", PARTS)
def test_a_launch_a_start_and_a_grade_outlive(part: str, served: Served, activity: Activity, learner: Visitor) -> None:
    before = len(served.home.json("list"))
    fields = learner.sign_in(activity)
    served.kill(part)
    learner.arrive(fields)
    begun = learner.ask("start")["operation"]
    served.kill(part)
    learner.follow(begun)
    assert len(served.home.json("list")) == before + 1
    learner.type("hostname > ~/note.txt; echo $((111*271))", "30081")
    served.platform.fault("scores", seconds=4)
    asked = learner.ask("view/check", step="note")["operation"]
    until(lambda: learner.ask("view/events", operation=asked)["operation"]["state"] != "queued")
    served.kill(part)
    verdict = learner.follow(asked)["verdict"]
    if verdict == "error":  # the engine was the way to the machine; the learner is told to ask again
        verdict = until(lambda: not_error(learner.follow(learner.ask("view/check", step="note")["operation"])))
    assert verdict == "passed"
    (item,) = served.platform.site.coupled("2", activity.id)
    until(lambda: (item.shown(learner.user) or 0) > 0, 150)
    assert len({(points, time) for user, points, time in item.taken if user == learner.user and points}) == 1
