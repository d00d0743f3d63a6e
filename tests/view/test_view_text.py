"""Real pages in the real view: contents, quizzes, hints, gates, languages, actions. Only the machines are not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from labkit.model import CheckResult, Verdict
from tests.support.text_lab import TextLab
from tests.view.conftest import picture
from tests.view.lab_site import Site
from tests.view.test_view_access import serious

FIRST = """# First

Maths $`\\frac{1}{2}`$, a note[^1], [the sheet](media/sheet.txt).

## Fetch it {#fetch points=4}

:::hint {#how cost=3} How?
A secret way: `ls`{type=box}.
:::

```sh {run=box confirm="Really?" interrupt=yes max=1}
reboot
```

`refuse me`{paste=box} [the terminal]{focus=box:terminal}

:::quiz {#port points=2 attempts=2 shuffle=no}
Which port?

- [ ] 22
  > That one is **SSH's**.
- [x] 80
:::

:::answer {#why points=5}
Why?
:::

[^1]: At the foot.
"""
SECOND = "---\ntitle: Second\nrequires: [fetch, port]\n---\nThe second secret.\n"
GERMAN = FIRST.replace("# First", "# Erste", 1).replace("Fetch it", "Hol es")
Open = Callable[..., Page]


@pytest.fixture
def lab(tmp_path: Path, site: Site) -> Iterator[TextLab]:
    found = TextLab(tmp_path, {"1.md": FIRST, "2.md": SECOND, "de/1.md": GERMAN}, checks=("fetch",))
    site.lab = found
    yield found
    found.close()


@pytest.fixture
def text(page: Page, site: Site, lab: TextLab) -> Page:
    page.goto(f"{site.url}/?fill")
    page.get_by_role("heading", name="First").wait_for()
    return page


def quiz(page: Page) -> Locator:
    return page.get_by_role("group", name="Which port?")


def test_a_quiz_says_what_it_thinks_of_an_answer_and_keeps_it(text: Page, lab: TextLab) -> None:
    quiz(text).get_by_label("22").check()
    quiz(text).get_by_role("button", name="Answer").click()
    expect(quiz(text)).to_contain_text("Not right. 1 try left.")
    expect(quiz(text).locator(".feedback strong")).to_have_text("SSH's")
    quiz(text).get_by_label("80").check()
    quiz(text).get_by_role("button", name="Answer").click()
    expect(quiz(text)).to_contain_text("Right.")
    expect(text.get_by_text("2 of 11 points").first).to_be_visible()
    text.reload()
    expect(quiz(text).get_by_label("80")).to_be_checked()
    expect(quiz(text).get_by_label("80")).to_be_disabled()
    assert serious(text) == []


def test_the_right_answer_is_shown_when_there_are_no_tries_left(text: Page, lab: TextLab) -> None:
    quiz(text).get_by_label("22").check()
    for left in ("1 try left", "Not right."):
        assert '"solution": ["' not in json.dumps(lab.said)
        quiz(text).get_by_role("button", name="Answer").click()
        expect(quiz(text)).to_contain_text(left)
    expect(quiz(text).get_by_label("80 (right answer)")).to_be_visible()


def test_a_free_answer_is_handed_in(text: Page) -> None:
    why = text.get_by_role("group", name="Why?")
    why.get_by_label("Your answer").fill("Because.")
    why.get_by_role("button", name="Answer").click()
    expect(why).to_contain_text("Handed in")
    text.reload()
    expect(why.get_by_label("Your answer")).to_have_value("Because.")


def test_a_hint_says_its_price_and_is_in_the_browser_only_once_it_is_paid(text: Page, lab: TextLab) -> None:
    text.get_by_text("How? (costs 3 points)").click()
    text.get_by_role("button", name="No").click()
    assert "secret way" not in json.dumps(lab.said)
    text.get_by_text("How? (costs 3 points)").press("Enter")
    text.get_by_role("button", name="Yes").press("Enter")
    expect(text.get_by_text("A secret way")).to_be_visible()
    expect(text.get_by_text("(3 points paid)")).to_be_visible()
    text.reload()
    text.get_by_text("How? (3 points paid)").click()
    expect(text.get_by_role("button", name="ls", exact=True)).to_be_visible()


def test_a_locked_page_says_what_it_waits_for_and_opens_by_itself(text: Page, lab: TextLab) -> None:
    text.get_by_role("button", name="2 · Second →").click()
    expect(text.locator(".locked")).to_contain_text("Fetch it")
    picture(text, "locked")
    choices = lab.labs.instructions(lab.principal, lab.id).questions["port"].choices
    lab.view.handle("answer", {"question": "port", "given": [choices[1].key]})
    lab.store.record_result(lab.work, CheckResult("fetch", Verdict.PASSED, "", time.time(), attested=True))
    expect(text.get_by_text("The second secret.")).to_be_visible()


def test_the_contents_tell_what_is_done_and_lead_to_each_step(text: Page) -> None:
    text.get_by_text("Contents").click()
    contents = text.get_by_role("navigation", name="Contents")
    expect(contents).to_contain_text("0 of 3 steps · 0 of 11 points")
    expect(contents).to_contain_text("locked")
    contents.get_by_role("button", name="Fetch it").click()
    expect(text.get_by_role("region", name="Fetch it")).to_be_focused()


def test_the_learner_chooses_the_language_and_it_stays(text: Page, lab: TextLab) -> None:
    text.get_by_label("Language").select_option("de")
    expect(text.get_by_role("heading", name="Erste")).to_be_visible()
    expect(text.get_by_text("0 von 3 Schritten").first).to_be_visible()
    text.reload()
    expect(text.get_by_role("heading", name="Erste")).to_be_visible()
    expect(text.get_by_role("button", name="In box ausführen")).to_be_visible()
    text.get_by_role("button", name="2 · Second →").click()
    expect(text.locator("article > [lang=en]")).to_contain_text("sobald diese Schritte erledigt sind")
    picture(text, "german")


def pane(page: Page) -> Locator:
    return page.frame_locator("iframe").first.locator("#typed")


def test_an_action_asks_first_interrupts_and_may_be_done_only_so_often(text: Page) -> None:
    run = text.get_by_role("button", name="Run in box")
    run.click()
    text.keyboard.press("Escape")
    expect(pane(text)).to_have_text("")
    run.press("Enter")
    text.get_by_role("dialog", name="Really?").get_by_role("button", name="Yes").click()
    expect(pane(text)).to_have_text('type "\\u0003"run "reboot"')
    expect(text.get_by_text("Run in box.")).to_be_visible()
    run.press("Enter")
    expect(text.get_by_text("This can be done no more often.")).to_be_visible()


def test_an_action_says_why_it_was_not_done_and_focus_gives_the_keyboard_to_the_pane(text: Page) -> None:
    text.get_by_role("button", name="refuse me").click()
    expect(text.get_by_text("The machine would not have it.")).to_be_visible()
    text.get_by_role("button", name="the terminal").click()
    expect(pane(text)).to_have_text('focus "the terminal"')
    assert text.evaluate("document.querySelector('.labkit').shadowRoot.activeElement.tagName") == "IFRAME"


def test_footnotes_maths_and_files(text: Page) -> None:
    assert text.locator("article math mfrac").bounding_box()["height"] > 15  # type: ignore[index]
    text.get_by_role("link", name="[1]").click()
    expect(text.locator("#fn1 a")).to_be_focused()
    with text.expect_download() as download:
        text.get_by_role("link", name="the sheet").click()
    assert download.value.suggested_filename == "sheet.txt"


SCRIPT = "window.owned=1"
ATTRIBUTES = """[...document.querySelector('.labkit').shadowRoot.querySelectorAll('*')]
    .flatMap((element) => [...element.attributes].map(({name, value}) => name + '=' + value))
    .filter((one) => /^(on|href|src|action|formaction)/.test(one))"""
ATTACKS = (
    f"<script>{SCRIPT}</script>",
    f"<img src=x onerror={SCRIPT}>",
    f"<svg onload={SCRIPT}><animate onbegin={SCRIPT} attributeName=x></svg>",
    f"<svg><script>{SCRIPT}</script><a href='javascript:{SCRIPT}'><text>svg</text></a></svg>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={SCRIPT}></style></mglyph></table></mtext></math>",
    f"<details open ontoggle={SCRIPT}><summary onclick={SCRIPT}>x</summary></details>",
    f"<video src=x onerror={SCRIPT} autoplay><source onerror={SCRIPT}></video>",
    f"<iframe srcdoc='<script>parent.{SCRIPT}</script>'></iframe><object data='javascript:{SCRIPT}'></object>",
    f"<a href='javascript:{SCRIPT}'>go</a> [go](javascript:{SCRIPT}) <javascript:{SCRIPT}>",
    f"[go](data:text/html,<script>{SCRIPT}</script>) <a href=' &#1;java&#10;script:{SCRIPT}'>go</a>",
    f"<form action='javascript:{SCRIPT}'><button formaction='javascript:{SCRIPT}'>go</button></form>",
    f"<button class=lk-action data-action=constructor data-target=box onclick={SCRIPT}>go</button>",
    f"<div class=lk-quiz data-quiz='\"><img src=x onerror={SCRIPT}>' data-kind=single>go</div>",
    f'<noscript><p title="</noscript><img src=x onerror={SCRIPT}>"></noscript>',
    f'```sh"onmouseover="{SCRIPT}\nx\n```',
    f'![x](media/x.svg"onerror="{SCRIPT})',
    f":::hint {{#x}} <img src=x onerror={SCRIPT}>\n<img src=x onerror={SCRIPT}>\n:::",
    f"$`\\text{{</mtext><img src=x onerror={SCRIPT}>}}`$",
    f"Text[^x].\n\n[^x]: <img src=x onerror={SCRIPT}>",
    "{{ learner }} <b title='{{ learner }}'>{{ learner }}</b> [x](https://example.org/{{ learner }})",
    "```html\n{{ learner }}\n```",
    f':::collect {{#r machine=box path="/x\'><img src=x onerror={SCRIPT}>"}}\n<img src=x onerror={SCRIPT}>\n:::',
    f'[go]{{upload=box file="media/x\'><img src=x onerror={SCRIPT}>" to="/x\' onclick=\'{SCRIPT}"}}',
)
NAME = f"</p><img src=x onerror={SCRIPT}>'\"><script>{SCRIPT}</script>{{{{ flag }}}}"
QUIZ = f"""

## <img src=x onerror={SCRIPT}> {{#fetch points=1}}

:::quiz {{#port kind=text}}
<img src=x onerror={SCRIPT}>

- [x] {NAME}
- [ ] x
  > <img src=x onerror={SCRIPT}>
:::

:::answer {{#why points=1}}
Why?
:::
"""


def test_nothing_that_an_author_a_learner_or_a_check_writes_can_run(page: Page, site: Site, tmp_path: Path) -> None:
    title = f'---\ntitle: "<img src=x onerror={SCRIPT}> {{{{ learner }}}}"\n---\n'
    lab = TextLab(tmp_path, {"1.md": title + "\n\n".join(ATTACKS) + QUIZ}, checks=("fetch",), learner=NAME)
    site.lab, site.policy = lab, "frame-ancestors 'self'"  # the view has to do without the policy's help
    lab.store.record_result(lab.work, CheckResult("fetch", Verdict.NOT_YET, NAME, time.time(), attested=True))
    lab.view.handle("answer", {"question": "port", "given": ["x"]})
    lab.view.handle("answer", {"question": "why", "given": [NAME]})
    lab.store.mark(lab.work, "why", 1, NAME)
    page.goto(f"{site.url}/?fill")
    page.get_by_text("Not yet:").wait_for()
    for link in page.locator("article a, article summary, article button:not(.primary)").all():
        link.dispatch_event("click")
        link.dispatch_event("mouseover")
    page.get_by_role("button", name="Answer").first.click()
    expect(page.get_by_text("Not right.")).to_be_visible()
    expect(page.locator(".comment")).to_have_text(NAME)
    assert page.evaluate("window.owned") is None
    attributes: list[str] = page.evaluate(ATTRIBUTES)
    assert [one for one in attributes if one.startswith("on") or "script:" in one] == []
    lab.close()
