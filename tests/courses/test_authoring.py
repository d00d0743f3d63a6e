"""Teachers whom an operator lets bring labs into their course: judged, read, published; for that course alone."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from labkit import library
from labkit.orchestrator.template_source import TemplateSource
from labkit.settings import Settings
from labkit.store import Platform, SqliteStore
from tests.courses.conftest import Visit, read, send
from tests.courses.test_class import SAM, STRANGER, TEACHER, link_of
from tests.courses.test_commands import run, said
from tests.lti.platform import TOOL
from tests.support.platform import Activity
from tests.support.platform import Platform as Simulator

LAB = """\
apiVersion: labkit/v1
kind: Lab
name: {name}
title: {title}
machines: [{{name: box, type: vm, image: {{bundled: tiny}}, memory: 256Mi}}]
"""
PAGE = "# Page\n\n## One {#one points=1}\n\nText.\n"


@pytest.fixture
def activity(moodle: Simulator, registered: Platform) -> Activity:
    return moodle.site.activity("2", "Hello", lab="hello-lab")


@pytest.fixture
def labs(visit: Visit, activity: Activity, settings: Settings) -> TestResponse:
    """The page of the course's labs, for a teacher with the right to it."""
    page = visit(TEACHER, activity=activity.id)
    assert run(settings, "authors", "add", "Moodle", "LAB101").exit_code == 0
    return labs_of(page)


def labs_of(page: TestResponse) -> TestResponse:
    root = "/".join(page.request.path.split("/")[:3])
    found = page.browser.client.get(f"{root}/labs/", base_url=TOOL)  # type: ignore[attr-defined]
    found.browser = page.browser  # type: ignore[attr-defined]
    return found


def packed(name: str = "net", title: str = "A net", page: str = PAGE, **more: str) -> bytes:
    """A zip archive with one lab in it."""
    files = {"lab.yaml": LAB.format(name=name, title=title), "instructions/1.md": page, **more}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as out:
        for path, text in files.items():
            out.writestr(f"lab/{path}", text)
    return content.getvalue()


def bring(labs: TestResponse, archive: bytes) -> TestResponse:
    return send(labs, "", archive=(io.BytesIO(archive), "lab.zip"), git="", ref="", folder="")


def publish(labs: TestResponse, name: str = "net", **lab: str) -> TestResponse:
    """Bring a lab, look at its draft, and publish that; the page of the draft."""
    answer = bring(labs, packed(name, **lab))
    assert answer.status_code == 303, answer.text
    page = read(labs, f"{name}/")
    shown = re.search(r'name="draft" value="(\w+)"', page.text)
    assert shown
    assert send(labs, f"{name}/publish", draft=shown[1]).status_code == 303
    return page


def test_nobody_brings_labs_whom_no_operator_has_let(visit: Visit, activity: Activity, settings: Settings) -> None:
    page = visit(TEACHER, activity=activity.id)
    assert (labs_of(page).status_code, "../labs/" in page.text) == (403, False)
    run(settings, "authors", "add", "Moodle", "LAB101", "--person", TEACHER)
    assert (labs_of(page).status_code, "../labs/" in read(page, "").text) == (200, True)
    assert [row["person"] for row in said(settings, "authors", "list")["authors"]] == ["Terry Teacher"]
    assert run(settings, "authors", "remove", "Moodle", "LAB101", "--person", TEACHER).exit_code == 0
    assert labs_of(page).status_code == 403


def test_the_right_is_for_one_course_and_for_its_teachers(
    visit: Visit, labs: TestResponse, activity: Activity, moodle: Simulator
) -> None:
    other = moodle.site.activity("3", "Other", lab="hello-lab")
    assert labs_of(visit(STRANGER, "3", other.id)).status_code == 403
    assert labs_of(visit(SAM, activity=activity.id)).status_code == 403


def test_a_lab_is_published_for_its_own_course_alone(
    visit: Visit, labs: TestResponse, moodle: Simulator, store: SqliteStore
) -> None:
    assert "It becomes a lab of this course" in publish(labs).text
    own, other = moodle.site.activity("2", "Own", lab="net"), moodle.site.activity("3", "Other", lab="net")
    assert visit(SAM, activity=own.id).status_code == 200
    assert visit(SAM, "3", other.id).status_code == 404
    assert {"lab brought", "lab published"} <= {row.action for row in store.audit_log(last=9)}
    assert 'value="net"' in visit(TEACHER).text


def test_what_was_published_by_a_process_that_was_killed_then_stays_the_courses(
    visit: Visit, labs: TestResponse, moodle: Simulator, settings: Settings, store: SqliteStore
) -> None:
    assert bring(labs, packed()).status_code == 303
    (lab,) = store.course_labs(link_of(store).context)
    library.publish("net", lab.draft, settings.templates_dir, over=())  # and no more than that
    assert send(labs, "net/discard").status_code == 303
    (now,) = store.course_labs(link_of(store).context)
    assert (now.draft, now.published) == ("", lab.draft)
    assert visit(SAM, "3", moodle.site.activity("3", "Other", lab="net").id).status_code == 404


def test_a_draft_is_read_before_anybody_can_start_it(visit: Visit, labs: TestResponse, moodle: Simulator) -> None:
    assert bring(labs, packed()).status_code == 303
    assert "<ol>" in read(labs, "net/draft/index.html").text
    assert read(labs, "net/published/index.html").status_code == 404
    assert visit(SAM, activity=moodle.site.activity("2", "Own", lab="net").id).status_code == 404
    assert send(labs, "net/discard").status_code == 303
    assert read(labs, "net/").status_code == 404


def test_every_fault_is_named_with_file_and_line_and_nothing_is_kept(labs: TestResponse, store: SqliteStore) -> None:
    bad = packed(title="x\nduration: long\ncolour: red", page="# P\n\n## One {#one}\n\n:::hint\nopen\n")
    answer = bring(labs, bad)
    rows = re.findall(r"<td><code>([\w./]+)</code><td>(\d*)<td", answer.text)
    assert answer.status_code == 422
    assert {("lab.yaml", "5"), ("lab.yaml", "6")} <= set(rows)
    assert "instructions/1.md" in dict(rows)
    assert store.course_labs(link_of(store).context) == []


def test_what_the_policy_refuses_is_a_fault(labs: TestResponse, settings: Settings) -> None:
    answer = bring(labs, packed(title="x\nnetwork: {egress: internet}"))
    assert (answer.status_code, "not allowed by the rule" in answer.text) == (422, True)


def test_a_replaced_lab_runs_on_as_it_was(labs: TestResponse, store: SqliteStore, settings: Settings) -> None:
    publish(labs)
    (before,) = store.course_labs(link_of(store).context)
    work = store.work(store.members(link_of(store).context)[0].learner, "any", "net")
    store.begin_lab(work, template="net", digest=before.published)
    page = publish(labs, title="A better net", page=PAGE.replace("one", "two"))
    assert "1 lab that runs keeps it" in page.text
    assert "Steps removed: one" in page.text
    source = TemplateSource(settings.templates_dir)
    assert [source.load("net", digest).title for digest in (before.published, "")] == ["A net", "A better net"]


def test_a_draft_that_nobody_has_seen_is_not_published(labs: TestResponse) -> None:
    bring(labs, packed())
    bring(labs, packed(title="Another"))
    assert send(labs, "net/publish", draft="0" * 64).status_code == 409
    assert "not published yet" in read(labs, "").text


def test_a_name_that_is_anothers_is_refused(
    labs: TestResponse, visit: Visit, moodle: Simulator, settings: Settings
) -> None:
    other = visit(STRANGER, "3", moodle.site.activity("3", "Other", lab="hello-lab").id)
    run(settings, "authors", "add", "Moodle", "LAB202")
    assert bring(labs_of(other), packed("theirs")).status_code == 303
    for name in ("theirs", "hello-lab"):
        answer = bring(labs, packed(name))
        assert (answer.status_code, "give yours another name" in answer.text) == (422, True)


def test_what_an_operator_has_put_in_its_place_is_not_replaced(labs: TestResponse, settings: Settings) -> None:
    publish(labs)
    place = settings.templates_dir / "net"
    place.unlink()
    (place / "instructions").mkdir(parents=True)
    (place / "lab.yaml").write_text(LAB.format(name="net", title="Ours"))
    bring(labs, packed(title="Mine"))
    draft = re.search(r'name="draft" value="(\w+)"', read(labs, "net/").text)
    assert draft
    assert send(labs, "net/publish", draft=draft[1]).status_code == 409
    assert send(labs, "net/remove").status_code == 409


def test_a_removed_lab_is_gone_and_its_name_stays_the_courses(
    labs: TestResponse, store: SqliteStore, settings: Settings
) -> None:
    publish(labs)
    context = link_of(store).context
    work = store.work(store.members(context)[0].learner, "any", "net")
    lab, _ = store.begin_lab(work, template="net", digest="")
    assert send(labs, "net/remove").status_code == 409
    store.lab_ended(lab.id)
    assert [send(labs, "net/remove").status_code for _ in range(2)] == [303, 303]
    assert "none yet" in read(labs, "").text
    assert store.bound_templates() == {"net": {context}}
    assert run(settings, "release", "net", "--yes").exit_code == 0
    assert store.bound_templates() == {}


def test_a_lab_of_a_platform_that_was_removed_is_nobodys(labs: TestResponse, store: SqliteStore) -> None:
    publish(labs)
    context = link_of(store).context
    store.remove_platform("p1")
    assert store.bound_templates() == {"net": {context}}
    assert store.authors() == []


def zipped(name: str, content: bytes = b"", *, link: bool = False, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    out, info = io.BytesIO(), zipfile.ZipInfo(name)
    info.external_attr = (0o120777 if link else 0o100644) << 16
    info.compress_type = kind
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr(info, content)
    return out.getvalue()


def many() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for number in range(4100):
            packed.writestr(str(number), b"")
    return out.getvalue()


REFUSED = (
    (lambda: zipped("../lab.yaml"), "no plain file"),
    (lambda: zipped("lab/link", b"/etc/passwd", link=True), "no plain file"),
    (lambda: zipped("lab/big", b"\0" * (65 << 20)), "more than 67108864 bytes"),
    (lambda: zipped("lab/lab.yaml", b"x", kind=zipfile.ZIP_LZMA), "rare way"),
    (many, "more than 2000 files"),
    (lambda: b"not a zip", "no zip archive"),
    (lambda: zipped("readme"), "no lab.yaml"),
)


def test_an_archive_that_is_none_leads_out_or_holds_too_much_is_refused(labs: TestResponse, settings: Settings) -> None:
    for archive, told in REFUSED:
        answer = bring(labs, archive())
        assert (answer.status_code, told in answer.text) == (422, True), told
    assert list(Path(settings.templates_dir).glob("*")) == []


def test_more_than_may_be_sent_is_refused_before_it_is_read(labs: TestResponse) -> None:
    browser = labs.browser  # type: ignore[attr-defined]
    form = {"content_type": "multipart/form-data; boundary=x", "input_stream": io.BytesIO(b"\0" * (33 << 20))}
    assert browser.post(labs.request.path, **form).status_code == 413


ADDRESSES = {
    "http://git.example/x.git": "such as https://",
    "https://ada:geheim@git.example/x.git": "without a password",
    "file:///etc": "such as https://",
    "ext::sh -c id": "such as https://",
    "https://git.invalid/x.git": "is not known",
    "": "choose a zip archive",
}


def test_a_repository_is_named_by_a_plain_https_address(labs: TestResponse) -> None:
    for address, told in ADDRESSES.items():
        answer = send(labs, "", git=address, ref="", folder="")
        assert (answer.status_code, told in answer.text, "geheim" in answer.text) == (422, True, False), address
