"""`labkit preview` without machines, in Chromium: what is saved is shown, what is wrong named, nobody else looks in."""

from __future__ import annotations

import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.home import LABKIT, new_home

LAB = """\
apiVersion: labkit/v1
kind: Lab
name: drafted
title: A draft
machines: [{name: box, type: vm, image: {bundled: tiny}, memory: 256Mi, users: [{name: student}], panes: [terminal]}]
"""
PAGE = "# First\n\nHello, **reader**.\n\n## Look {#look}\n\nLook around.\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("preview") / "drafted"
    (found / "instructions").mkdir(parents=True)
    (found / "lab.yaml").write_text(LAB)
    (found / "instructions/1.md").write_text(PAGE)
    return found


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    home = new_home(image=False)
    process = subprocess.Popen(
        [LABKIT, "preview", str(folder), "--print"], env=home.environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    found = re.search(r"is at (\S+)", process.stdout.readline())
    assert found
    yield found[1]
    process.send_signal(2)
    process.communicate(timeout=5)
    assert process.returncode == 0
    shutil.rmtree(home.folder)


@pytest.fixture(scope="module")
def page(browser: Browser, url: str) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(8000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto(url)
    yield page
    page.close()
    assert complaints == []


def test_the_pages_are_shown_as_learners_see_them(page: Page) -> None:
    expect(page.get_by_role("heading", name="First")).to_be_visible()
    page.get_by_role("checkbox", name="Look").check()
    expect(page.get_by_text("1 of 1 step").first).to_be_visible()
    expect(page.get_by_text("this preview has no machines")).to_be_visible()


def test_what_is_saved_is_shown_without_a_reload(page: Page, folder: Path) -> None:
    page.evaluate("window.kept = true")
    (folder / "instructions/1.md").write_text(PAGE.replace("reader", "author"))
    expect(page.get_by_text("Hello, author.")).to_be_visible()
    expect(page.get_by_role("checkbox", name="Look")).to_be_checked()
    assert page.evaluate("window.kept")


def test_faults_are_named_with_file_and_line_until_they_are_mended(page: Page, folder: Path) -> None:
    (folder / "instructions/1.md").write_text(PAGE + "\n{{ nobody }}\n")
    expect(page.get_by_text("One fault")).to_be_visible()
    expect(page.get_by_text("instructions/1.md:9")).to_be_visible()
    (folder / "instructions/1.md").write_text(PAGE)
    expect(page.get_by_text("One fault")).to_be_hidden()


def test_a_bad_lab_yaml_is_named_and_ends_nothing(page: Page, folder: Path) -> None:
    (folder / "lab.yaml").write_text(LAB.replace("title:", "titel:"))
    expect(page.get_by_text("lab.yaml:4", exact=True)).to_be_visible()
    (folder / "lab.yaml").write_text(LAB.replace("A draft", "Another name"))
    expect(page.get_by_role("heading", name="Another name")).to_be_visible()
    expect(page.get_by_text("lab.yaml:4", exact=True)).to_be_hidden()


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("", {"Host": "example.org"}, 403),
        ("../x/", {}, 404),
        ("lab/media/none.svg", {}, 404),
        ("../static/../lab.yaml", {}, 404),
    ],
)
def test_it_answers_only_on_loopback_names_and_below_its_own_path(
    url: str, path: str, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(url + path, headers=headers))
    assert refused.value.code == status
    refused.value.close()


@pytest.mark.parametrize("headers", [{}, {"X-Labkit": "1"}, {"X-Labkit": "1", "Origin": "https://example.org"}])
def test_a_question_from_another_page_is_refused(url: str, headers: dict[str, str]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(url + "lab/status", b"{}", headers))
    assert refused.value.code == 403
    refused.value.close()
