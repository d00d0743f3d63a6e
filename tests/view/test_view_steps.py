"""Steps: ticks, points and checks, as the learner sees them."""

from __future__ import annotations

from playwright.sync_api import APIResponse, Page, Route, expect

from tests.view.lab_site import Site
from tests.view.memory_lab import MemoryLab


def second_page(page: Page) -> None:
    page.get_by_role("button", name="2 · Reach the web server →").click()


def test_a_tick_goes_to_the_server_and_moves_the_progress(lab_page: Page, site: Site) -> None:
    lab_page.get_by_role("checkbox", name="Find the address of web").check()
    expect(lab_page.get_by_text("1 of 3 steps")).to_be_visible()
    expect(lab_page.get_by_text("10 of 25 points")).to_be_visible()
    expect(lab_page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "33")
    assert site.lab.ticks == {"find"}


def test_a_tick_can_be_taken_back_and_is_still_there_after_loading_again(lab_page: Page, site: Site) -> None:
    box = lab_page.get_by_role("checkbox", name="Find the address of web")
    box.check()
    expect(lab_page.get_by_text("10 / 10 points")).to_be_visible()
    lab_page.reload()
    expect(box).to_be_checked()
    box.uncheck()
    expect(lab_page.get_by_text("0 of 3 steps")).to_be_visible()
    assert site.lab.ticks == set()


def test_a_refused_tick_is_taken_back_and_the_reason_is_said(lab_page: Page, site: Site) -> None:
    site.lab.refusals["tick"] = "This work is closed."
    box = lab_page.get_by_role("checkbox", name="Find the address of web")
    box.click()
    expect(lab_page.get_by_text("This work is closed.")).to_be_visible()
    expect(box).not_to_be_checked()


def test_a_tick_made_elsewhere_appears_by_itself(lab_page: Page, site: Site) -> None:
    site.lab.ticks.add("find")
    expect(lab_page.get_by_role("checkbox", name="Find the address of web")).to_be_checked()


def test_an_answer_older_than_a_tick_does_not_undo_it(lab_page: Page, site: Site) -> None:
    held: list[tuple[Route, APIResponse]] = []
    lab_page.route("**/lab/status", lambda route: held.append((route, route.fetch())), times=1)
    with lab_page.expect_request("**/lab/status"):
        pass
    box = lab_page.get_by_role("checkbox", name="Find the address of web")
    box.check()
    expect(lab_page.get_by_text("1 of 3 steps")).to_be_visible()
    route, older = held[0]
    status = older.json()
    route.fulfill(json={**status, "lab": {**status["lab"], "detail": "This is the older answer."}})
    expect(lab_page.get_by_text("This is the older answer.")).to_be_visible()
    assert box.is_checked()  # at once: the next answer would mend it


def test_a_step_with_a_check_cannot_be_ticked_by_hand_and_says_why(lab_page: Page) -> None:
    second_page(lab_page)
    box = lab_page.get_by_role("checkbox", name="Fetch the page")
    expect(box).to_be_disabled()
    expect(box).to_have_accessible_description("This step is ticked by its check.")


def test_a_check_says_not_yet_with_the_reason_and_then_passed(lab_page: Page, site: Site) -> None:
    site.lab.verdicts = [("not_yet", "there is no index.html."), ("passed", "Well done.")]
    second_page(lab_page)
    step = lab_page.get_by_role("region", name="Fetch the page")
    check, status = step.get_by_role("button", name="Check"), step.get_by_role("status")
    check.click()
    expect(status).to_contain_text("Not yet: there is no index.html.")
    check.click()
    expect(status).to_contain_text("Passed. Well done.")
    expect(step.get_by_role("checkbox")).to_be_checked()
    expect(step.get_by_text("15 / 15 points")).to_be_visible()


def test_while_a_check_runs_its_line_says_so(lab_page: Page, site: Site) -> None:
    second_page(lab_page)
    with site.lab.lock:  # the server answers nothing until the words were seen
        lab_page.get_by_role("button", name="Check").click()
        expect(lab_page.get_by_text("Checking…")).to_be_visible()
        site.lab.verdicts = [("passed", "")]
    expect(lab_page.get_by_text("Passed. Checked at")).to_be_visible()


def test_a_check_that_broke_is_no_verdict_on_the_learner(lab_page: Page, site: Site) -> None:
    site.lab.verdicts = [("error", "the script is missing.")]
    second_page(lab_page)
    lab_page.get_by_role("button", name="Check").click()
    expect(lab_page.get_by_text("The check could not run: the script is missing.")).to_be_visible()


def test_a_check_that_the_server_refuses_says_its_reason(lab_page: Page, site: Site) -> None:
    site.lab.refusals["check"] = "Another check of this lab is running."
    second_page(lab_page)
    lab_page.get_by_role("button", name="Check").click()
    expect(lab_page.get_by_text("Another check of this lab is running.")).to_be_visible()


def test_feedback_with_a_script_in_it_is_shown_as_text(lab_page: Page, site: Site) -> None:
    attack = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    site.lab.verdicts = [("not_yet", attack)]
    second_page(lab_page)
    lab_page.get_by_role("button", name="Check").click()
    expect(lab_page.get_by_text(attack)).to_be_visible()
    assert lab_page.title() == "A host of the lab view"


def test_html_of_a_page_cannot_run_load_or_take_the_page_away(page: Page, site: Site) -> None:
    attack = (
        "<script>document.title='owned'</script><img src='/none' onerror=alert(1)><a href='javascript:alert(1)'>go</a>"
    )
    site.policy = "frame-ancestors 'self'"  # the view has to do without the policy's help
    site.lab.extra_html = f"{attack}<iframe src='/elsewhere.html'></iframe><style>*{{display:none}}</style>"
    page.goto(site.url)
    expect(page.get_by_text("go", exact=True)).to_be_visible()
    assert page.title() == "A host of the lab view"
    assert page.get_by_text("go", exact=True).get_attribute("href") is None
    assert page.locator("article :is(script, style, iframe, [onerror])").count() == 0


def test_a_link_to_elsewhere_opens_beside_the_lab(lab_page: Page) -> None:
    second_page(lab_page)
    link = lab_page.get_by_role("link", name="more")
    assert (link.get_attribute("target"), link.get_attribute("rel")) == ("_blank", "noopener noreferrer")


def test_the_memory_lab_has_the_methods_of_the_contract() -> None:
    contract = {"view", "status", "tick", "check", "events", "pane_link"}
    assert all(hasattr(MemoryLab, f"_{method}") for method in contract)
