"""Machines and panes: tabs, frames and their tickets, actions in the text, and a lab that is over."""

from __future__ import annotations

from playwright.sync_api import FrameLocator, Page, Route, expect

from tests.view.lab_site import Site
from tests.view.memory_lab import machine


def pane(page: Page, title: str) -> FrameLocator:
    return page.frame_locator(f"iframe[title='{title}']")


def test_the_first_pane_opens_with_its_ticket_in_the_fragment(lab_page: Page, site: Site) -> None:
    expect(pane(lab_page, "client: Terminal").locator("#came")).to_have_text("#ticket=ticket-1")
    source = lab_page.locator("iframe").get_attribute("src")
    assert source == f"{site.url}/panes/alab/client/terminal/#ticket=ticket-1"
    expect(lab_page.get_by_text("Connected", exact=True)).to_be_visible()


def test_a_pane_that_wants_a_fresh_ticket_gets_one(lab_page: Page) -> None:
    frame = pane(lab_page, "client: Terminal")
    frame.get_by_role("button", name="Ask for a ticket").click()
    expect(frame.locator("#given")).to_have_text("ticket-2")


def test_arrow_keys_go_from_machine_to_machine(lab_page: Page) -> None:
    client, web = (lab_page.get_by_role("tab", name=name) for name in ("client", "web"))
    client.focus()
    lab_page.keyboard.press("ArrowRight")
    expect(web).to_be_focused()
    expect(web).to_have_attribute("aria-selected", "true")
    expect(client).to_have_attribute("tabindex", "-1")
    expect(lab_page.get_by_role("tabpanel", name="web")).to_be_visible()
    lab_page.keyboard.press("Home")
    expect(client).to_be_focused()


def test_a_pane_once_opened_lives_on_while_another_is_shown(lab_page: Page, site: Site) -> None:
    expect(pane(lab_page, "client: Terminal").locator("#came")).to_have_text("#ticket=ticket-1")
    lab_page.get_by_role("button", name="Console").click()
    expect(pane(lab_page, "client: Console").locator("#came")).to_have_text("#ticket=ticket-2")
    expect(lab_page.locator("iframe[title='client: Terminal']")).not_to_be_visible()
    lab_page.get_by_role("button", name="Terminal").click()
    expect(pane(lab_page, "client: Terminal").locator("#came")).to_be_visible()
    assert site.lab.count("pane_link") == 2


def test_frames_are_titled_and_may_do_only_what_panes_need(lab_page: Page) -> None:
    frame = lab_page.locator("iframe[title='client: Terminal']")
    expect(frame).to_have_attribute("sandbox", "allow-scripts allow-same-origin allow-downloads")
    expect(frame).to_have_attribute("allow", "clipboard-read; clipboard-write; fullscreen")
    expect(frame).to_have_attribute("referrerpolicy", "no-referrer")


def hears(page: Page) -> None:
    page.evaluate("addEventListener('message', (event) => { window.heard = event.origin })")


def test_a_frame_that_went_to_another_origin_gets_no_ticket(page: Page, site: Site) -> None:
    site.policy = "frame-src *"
    page.goto(site.url)
    foreign = site.url.replace("127.0.0.1", "localhost")
    hears(page)
    frame = page.locator("iframe").element_handle().content_frame()
    assert frame is not None
    frame.goto(f"{foreign}/net.svg")
    frame.evaluate("parent.postMessage({type: 'labkit:ticket-wanted'}, '*')")
    page.wait_for_function("origin => window.heard === origin", arg=foreign)
    page.get_by_role("checkbox", name="Find the address of web").check()
    expect(page.get_by_text("1 of 3 steps")).to_be_visible()  # asked after it, and answered
    assert site.lab.count("pane_link") == 1


def test_a_message_from_another_window_gets_no_ticket(lab_page: Page, site: Site) -> None:
    expect(pane(lab_page, "client: Terminal").locator("#came")).to_have_text("#ticket=ticket-1")
    hears(lab_page)
    foreign = site.url.replace("127.0.0.1", "localhost")
    with lab_page.expect_popup() as popup:
        lab_page.evaluate("url => void window.open(url)", f"{foreign}/sheet.txt")
    popup.value.evaluate("opener.postMessage({type: 'labkit:ticket-wanted'}, '*')")
    lab_page.wait_for_function("origin => window.heard === origin", arg=foreign)
    pane(lab_page, "client: Terminal").get_by_role("button", name="Ask for a ticket").click()
    expect(pane(lab_page, "client: Terminal").locator("#given")).to_have_text("ticket-2")  # the second ever made


def test_a_message_of_our_origin_that_is_not_from_a_pane_gets_no_ticket(lab_page: Page, site: Site) -> None:
    expect(pane(lab_page, "client: Terminal").locator("#came")).to_have_text("#ticket=ticket-1")
    hears(lab_page)
    lab_page.evaluate("postMessage({type: 'labkit:ticket-wanted'}, location.origin)")
    lab_page.wait_for_function("origin => window.heard === origin", arg=site.url)
    pane(lab_page, "client: Terminal").get_by_role("button", name="Ask for a ticket").click()
    expect(pane(lab_page, "client: Terminal").locator("#given")).to_have_text("ticket-2")


def test_a_run_action_runs_the_line_in_the_machines_terminal(lab_page: Page) -> None:
    lab_page.get_by_role("button", name="2 · Reach the web server →").click()
    lab_page.get_by_role("tab", name="web").click()
    lab_page.get_by_role("button", name="Run in client").click()
    expect(pane(lab_page, "client: Terminal").locator("#typed")).to_have_text('run "wget http://web/"')
    expect(lab_page.get_by_text("Run in client.")).to_be_visible()


def test_a_type_action_types_without_enter(lab_page: Page) -> None:
    lab_page.get_by_role("button", name="2 · Reach the web server →").click()
    lab_page.get_by_role("button", name="uptime").click()
    expect(pane(lab_page, "client: Terminal").locator("#typed")).to_have_text('type "uptime"')


def test_what_the_pane_refuses_to_type_is_said_in_its_own_words(lab_page: Page) -> None:
    root = pane(lab_page, "client: Terminal").locator("html")
    root.evaluate("root => { root.dataset.refuses = 'This pane is for watching only.' }")
    lab_page.get_by_role("button", name="2 · Reach the web server →").click()
    lab_page.get_by_role("button", name="uptime").click()
    expect(lab_page.get_by_text("This pane is for watching only.")).to_be_visible()


def test_a_pane_is_told_whether_the_view_is_dark(lab_page: Page) -> None:
    root = pane(lab_page, "client: Terminal").locator("html")
    expect(root).to_have_attribute("data-dark", "false")
    lab_page.emulate_media(color_scheme="dark")
    expect(root).to_have_attribute("data-dark", "true")


def test_an_open_action_shows_the_pane(lab_page: Page) -> None:
    lab_page.get_by_role("button", name="2 · Reach the web server →").click()
    lab_page.get_by_role("button", name="web's screen").click()
    expect(lab_page.get_by_role("tab", name="web")).to_have_attribute("aria-selected", "true")
    expect(lab_page.get_by_role("button", name="Screen", exact=True)).to_have_attribute("aria-pressed", "true")


def test_an_action_on_a_machine_that_is_not_there_says_so(lab_page: Page, site: Site) -> None:
    site.lab.machines = [machine("web")]
    expect(lab_page.get_by_role("tab", name="client")).to_have_count(0)
    lab_page.get_by_role("button", name="2 · Reach the web server →").click()
    lab_page.get_by_role("button", name="Run in client").click()
    expect(lab_page.get_by_text("There is no machine client in this lab.")).to_be_visible()


def test_a_pane_that_cannot_be_opened_says_why_and_can_be_tried_again(page: Page, site: Site) -> None:
    site.lab.refusals["pane_link"] = "client is still being made."
    page.goto(site.url)
    expect(page.get_by_text("client is still being made.")).to_be_visible()
    site.lab.refusals.clear()
    page.get_by_role("button", name="Try again").click()
    expect(pane(page, "client: Terminal").locator("#came")).to_contain_text("#ticket=ticket-")


def test_a_frame_that_is_no_pane_page_gives_way_to_a_sentence(page: Page, site: Site) -> None:
    page.clock.install()
    page.route("**/panes/**", lambda route: route.fulfill(status=502, body="Bad gateway"))
    page.goto(site.url)
    page.frame_locator("iframe").get_by_text("Bad gateway").wait_for()
    page.clock.fast_forward(4000)
    expect(page.get_by_text("This pane did not load.")).to_be_visible()
    page.unroute("**/panes/**")
    page.get_by_role("button", name="Try again").click()
    expect(pane(page, "client: Terminal").locator("#came")).to_have_text("#ticket=ticket-2")


def test_a_pane_page_that_spoke_before_it_was_all_loaded_stays(page: Page, site: Site) -> None:
    late: list[Route] = []
    page.route("**/ornament.svg", lambda route: late.append(route))
    page.clock.install()
    page.goto(site.url, wait_until="commit")
    page.get_by_text("Connected", exact=True).wait_for()
    late[0].continue_()
    page.wait_for_load_state("load")
    page.clock.run_for(10_000)
    expect(pane(page, "client: Terminal").locator("#came")).to_have_text("#ticket=ticket-1")


def test_sign_in_details_are_shown_on_request_and_copied(lab_page: Page) -> None:
    opener = lab_page.get_by_role("button", name="Sign-in details")
    opener.click()
    panel = lab_page.get_by_role("region", name="Sign-in details of client")
    expect(panel).to_contain_text("student")
    panel.get_by_role("button", name="Copy Password").click()
    expect(lab_page.get_by_role("button", name="Copy Password")).to_have_text("Copied")
    assert lab_page.evaluate("navigator.clipboard.readText()") == "correct-horse"
    with lab_page.expect_download() as download:
        panel.get_by_role("link", name="Download").click()
    assert (download.value.suggested_filename, download.value.path().read_text()) == ("client-student.key", "a key\n")
    lab_page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(opener).to_be_focused()


def test_a_machine_without_a_sign_in_says_so(lab_page: Page) -> None:
    lab_page.get_by_role("tab", name="web").click()
    lab_page.get_by_role("button", name="Sign-in details").click()
    expect(lab_page.get_by_text("web needs no sign-in.")).to_be_visible()


def test_a_new_window_gets_a_code_for_a_ticket_of_its_own_and_no_way_back(lab_page: Page, site: Site) -> None:
    expect(pane(lab_page, "client: Terminal").locator("#came")).to_have_text("#ticket=ticket-1")
    with lab_page.expect_popup() as popup:
        lab_page.get_by_role("button", name="New window").click()
    expect(popup.value.locator("#came")).to_have_text("#code=for-ticket-2")
    assert popup.value.evaluate("window.opener") is None


def test_the_pane_fills_the_screen_on_request(lab_page: Page) -> None:
    lab_page.get_by_role("button", name="Full screen").click()
    lab_page.wait_for_function("() => document.fullscreenElement !== null")


def test_a_machines_state_is_said_in_words_and_its_name_is_text(page: Page, site: Site) -> None:
    name = "<img src=x onerror=document.title='owned'>"
    site.lab.machines = [machine(name, "starting")]
    page.goto(site.url)
    expect(page.get_by_role("tab", name=f"{name} · starting")).to_be_visible()
    assert page.title() == "A host of the lab view"


def test_a_stopped_lab_keeps_its_instructions_and_says_what_became_of_the_machines(lab_page: Page, site: Site) -> None:
    site.lab.state = "stopped"
    expect(lab_page.get_by_text("This lab has stopped, so there are no machines to show.")).to_be_visible()
    expect(lab_page.locator("iframe")).to_have_count(0)
    expect(lab_page.get_by_role("tab")).to_have_count(0)
    lab_page.get_by_role("checkbox", name="Find the address of web").check()
    expect(lab_page.get_by_text("1 of 3 steps")).to_be_visible()  # ticks hang on the work, not on the lab


def test_a_check_of_a_stopped_lab_is_not_asked_for(lab_page: Page, site: Site) -> None:
    site.lab.state = "stopped"
    expect(lab_page.get_by_text("Stopped", exact=True)).to_be_visible()
    lab_page.get_by_role("button", name="2 · Reach the web server →").click()
    lab_page.get_by_role("button", name="Check").click(force=True)
    expect(lab_page.get_by_text("A check needs a running lab.")).to_be_visible()
    assert site.lab.count("check") == 0
