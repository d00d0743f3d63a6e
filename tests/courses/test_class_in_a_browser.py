"""A class, from its start to its end, as a teacher clicks through it in Chromium: a service, machines, a course."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jwt
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.courses.test_authoring import PAGE, packed
from tests.support.engine import until
from tests.support.platform import Person, running_platform
from tests.support.served import Served, running_service

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]
PICTURES = Path(__file__).parents[2] / "test-output" / "class"
TEACHER, SAM = "3", "4"


@dataclass
class School:
    """An activity of a course of eleven on its platform, and labkit's service with room for two labs."""

    served: Served
    activity: str

    def way(self, person: str, activity: str) -> str:
        """The address by which somebody opens an activity; without one, the picker of labs."""
        return f"{self.served.platform.origin}/begin?user={person}&course=2&activity={activity}"


@pytest.fixture(scope="module")
def school() -> Iterator[School]:
    with running_service(most_labs=2) as found:
        others = [Person(str(number), "Zoe", str(number)) for number in range(20, 29)]
        found.platform.site.people |= {person.id: person for person in others}
        found.platform.site.courses["2"].learners += [person.id for person in others]
        yield School(found, found.platform.site.activity("2", "Hello", lab="hello-lab").id)


def opened(browser: Browser, address: str) -> Page:
    """A page in a browser of its own."""
    page = browser.new_context(viewport={"width": 1300, "height": 900}).new_page()
    page.set_default_timeout(30_000)
    page.goto(address)
    return page


@pytest.fixture(scope="module")
def page(browser: Browser, school: School) -> Iterator[Page]:
    """The teacher's."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page = opened(browser, school.way(TEACHER, school.activity))
    yield page
    page.screenshot(path=PICTURES / "last.png")
    page.context.close()


def sam(page: Page) -> Locator:
    return page.get_by_role("region", name="Sam Ström")


def screen(page: Page) -> Locator:
    """What a page's terminal shows."""
    return page.frame_locator('iframe[title="box: Terminal"]').locator(".xterm-rows")


def types(page: Page, text: str) -> None:
    page.frame_locator('iframe[title="box: Terminal"]').locator(".xterm-helper-textarea").focus()
    page.keyboard.type(text, delay=20)


@pytest.fixture(scope="module")
def learner(browser: Browser, school: School) -> Iterator[Page]:
    """Sam's, with a terminal in it."""
    page = opened(browser, school.way(SAM, school.activity))
    expect(screen(page)).to_contain_text("student@box", timeout=90_000)
    yield page
    page.context.close()


def test_who_has_not_started_has_no_points_and_names_are_text(page: Page) -> None:
    expect(sam(page)).to_contain_text("not started")
    expect(sam(page)).not_to_contain_text("points")
    expect(page.get_by_role("region", name='<script>alert("5")</script> O\'Brien & Co')).to_be_visible()
    assert page.locator("#cards script").count() == 0
    page.screenshot(path=PICTURES / "before.png")


def test_labs_are_started_for_all_ten_at_a_time_and_run_as_there_is_room(page: Page) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or "") if "labs/start" in request.url else None)
    page.get_by_role("button", name="Start for all").click()
    expect(page.get_by_role("status")).to_have_text("start: 11 of 11")
    assert [body.count("subject=") for body in sent] == [10, 1]
    expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(11)
    expect(page.get_by_role("img", name="The learner's screen")).to_have_count(2, timeout=150_000)
    page.screenshot(path=PICTURES / "running.png")


def test_all_whose_labs_run_are_given_more_time(page: Page) -> None:
    page.get_by_role("button", name="Extend all").click()
    expect(page.get_by_role("status")).to_have_text("extend: 2 of 2")


def test_a_step_is_checked_again_and_who_fails_thrice_is_stuck(page: Page) -> None:
    page.get_by_role("link", name="Sam Ström").click()
    for title in ("Look around in the terminal", "Sign in on the console"):
        row = page.get_by_role("row", name=title)
        row.get_by_placeholder("why it is awarded").fill("seen in class")
        row.get_by_role("button", name="Award").click()
        expect(row.get_by_text("Awarded by your teacher")).to_be_visible()
    for number in range(1, 4):
        page.get_by_role("button", name="Check again").click()
        until(lambda number=number: tried(page) == number, 60)  # type: ignore[misc]
    expect(page.get_by_role("cell", name="There is no file note.txt")).to_be_visible()
    page.get_by_role("link", name="The class").click()
    page.get_by_label("Show").select_option("stuck")
    expect(sam(page)).to_be_visible()
    expect(page.get_by_role("region")).to_have_count(1)
    page.screenshot(path=PICTURES / "stuck.png")
    page.get_by_label("Show").select_option("")
    expect(page.get_by_role("region")).to_have_count(11)


def tried(page: Page) -> int:
    page.reload()
    return page.locator("li", has_text="note: not yet").count()


def test_who_asks_for_help_is_seen_and_answered(page: Page, learner: Page) -> None:
    learner.get_by_role("button", name="Ask for help").click()
    expect(sam(page)).to_contain_text("asks for help", timeout=15_000)
    page.get_by_label("Show").select_option("hand")
    expect(page.get_by_role("region")).to_have_count(1)
    page.screenshot(path=PICTURES / "hand.png")
    page.get_by_label("Show").select_option("")
    page.get_by_role("link", name="Sam Ström").click()
    page.get_by_role("button", name="Answered").click()
    expect(page.get_by_text("Asks for help")).to_have_count(0)
    page.screenshot(path=PICTURES / "record.png", full_page=True)
    expect(learner.get_by_role("button", name="Ask for help")).to_be_visible()


def test_a_learners_terminal_is_watched_and_what_the_teacher_types_does_not_reach_it(page: Page, learner: Page) -> None:
    with page.expect_response("**/view/pane_link") as told:
        page.get_by_role("link", name="See the page").click()
    assert jwt.decode(told.value.json()["ticket"], options={"verify_signature": False})["mode"] == "view"
    expect(page.frame_locator('iframe[title="box: Terminal"]').get_by_text("Watching box").first).to_be_visible()
    types(learner, "echo one; ")
    expect(screen(page)).to_contain_text("echo one; ")
    types(page, "touch bad\n")
    types(learner, "echo two; ls -A /home/student\n")
    expect(screen(page)).to_contain_text("echo one; echo two; ls")
    expect(screen(learner)).to_contain_text("onetwo.sshstudent@box")  # one line each
    page.screenshot(path=PICTURES / "watched.png")
    for shown in (page, learner):
        expect(screen(shown)).not_to_contain_text("bad")


def test_buttons_of_a_learners_page_are_refused(page: Page) -> None:
    page.get_by_role("navigation", name="Pages").get_by_role("button").nth(1).click()
    page.get_by_role("button", name="Check", exact=True).first.click()
    expect(page.get_by_text("you can look at it, and change nothing").first).to_be_visible()
    page.screenshot(path=PICTURES / "refused.png")
    page.get_by_role("link", name="Back to the record").click()
    page.get_by_role("link", name="The class").click()


def bring(page: Page, archive: bytes) -> None:
    page.get_by_label("A zip archive").set_input_files(
        {"name": "net.zip", "mimeType": "application/zip", "buffer": archive}
    )
    page.get_by_role("button", name="Have it judged").click()


def test_a_lab_with_faults_is_not_published(page: Page, school: School) -> None:
    added = school.served.home.labkit("lti", "authors", "add", "Course", "LAB101")
    assert added.returncode == 0, added.stderr
    page.reload()
    page.get_by_role("link", name="Labs of this course").click()
    bring(page, packed(title="x\nduration: long\ncolour: red", page=PAGE.replace("points=1", "points=many")))
    expect(page.get_by_role("heading", name="Nothing was changed")).to_be_visible()
    faults = page.get_by_role("alert").get_by_role("row")
    expect(faults.filter(has_text="lab.yaml")).to_have_count(2)
    expect(faults.filter(has_text="instructions/1.md")).to_have_count(1)
    expect(page.get_by_text("none yet")).to_be_visible()
    page.screenshot(path=PICTURES / "faults.png")


def test_the_mended_lab_is_read_published_and_picked(page: Page, school: School) -> None:
    bring(page, packed())
    expect(page.get_by_text("It becomes a lab of this course")).to_be_visible()
    page.screenshot(path=PICTURES / "draft.png")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("cell", name="A net")).to_be_visible()
    page.screenshot(path=PICTURES / "labs.png")
    page.goto(school.way(TEACHER, ""))
    page.get_by_label("Find a lab").fill("a net")
    page.get_by_label("A net").check()
    page.screenshot(path=PICTURES / "picker.png")
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_url("**/contentitem_return.php*")
    assert [item["custom"] for item in school.served.platform.linked] == [{"lab": "net"}]
    page.goto(school.way(TEACHER, school.activity))


def test_the_class_is_exported(page: Page, tmp_path: Path) -> None:
    with page.expect_download() as found:
        page.get_by_role("link", name="Export CSV").click()
    found.value.save_as(tmp_path / "class.csv")
    with (tmp_path / "class.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["user id"], row["tries"]) for row in rows if row["name"] == "Sam Ström"] == [("4", "3")]
    assert len(rows) == 11


def test_all_labs_are_stopped_once_it_is_confirmed(page: Page) -> None:
    page.get_by_role("button", name="Stop all").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_role("status")).to_have_text("stop: 11 of 11")
    expect(page.get_by_text("stopped")).to_have_count(11, timeout=60_000)


def test_a_platform_registers_itself_in_a_frame_that_closes_by_itself(browser: Browser, school: School) -> None:
    with running_platform(school.served.origin) as other:
        link = school.served.home.json("lti", "register-link", other.origin, "--name", "Other")["url"]
        page = opened(browser, f"{other.origin}/")
        page.evaluate(
            """(address) => {
              addEventListener("message", (event) => { window.told = [event.origin, event.data.subject]; });
              const frame = document.createElement("iframe");
              frame.src = address;
              document.body.replaceChildren(frame); }""",
            other.registration_address(link),
        )
        page.frame_locator("iframe").get_by_role("button", name="Register").click()
        page.wait_for_function("window.told")
        assert page.evaluate("told") == [school.served.origin, "org.imsglobal.lti.close"]
        page.context.close()
    named = [one["name"] for one in school.served.home.json("lti", "platforms", "list")]
    assert sorted(named) == ["Course", "Other"]
