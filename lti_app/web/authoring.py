"""Labs that a course's teachers bring: sent as an archive or named as a Git repository, judged, read, then published.

All is looked up among the labs of the launch's own course. What is brought becomes a draft once it has no fault; what
is published is a draft that its teacher has seen. Labs that run keep the version that they were started with.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from labkit import app, library
from labkit.errors import Conflict, Fault, Invalid, LabkitError, NotFound
from labkit.linting import hints, lint
from labkit.store import CourseLab
from labkit.templates import Template, find, load
from lti_app.guards import LAUNCH_PREFIX, current_launch, form_token, guarded, of_author
from lti_app.headers import embeddable
from lti_app.lti.claims import CHOICE
from lti_app.lti.outbound import open_addresses
from lti_app.services import services
from lti_app.web.reading import shown

blueprint = Blueprint("authoring", __name__, url_prefix=f"{LAUNCH_PREFIX}/labs")

MOST_LABS = 50
"""Names of labs that one course may have."""
_SETTING = "LABKIT_PRIVATE_REPOSITORIES"
_at_once = threading.BoundedSemaphore(2)
"""So many are unpacked or fetched by one process: the others are for the class."""


@blueprint.get("/")
@guarded(of_author)
def page() -> Response:
    """The course's own labs, and how to bring one."""
    return _page()


def _page(faults: Sequence[Fault] = (), said: str = "", status: int = 200) -> Response:
    _embeddable()
    launch = current_launch()
    rows = [(lab, _content(lab.published) if _there(lab.name) else None) for lab in _labs()]
    page = render_template(
        "labs.html",
        rows=[(lab, template) for lab, template in rows if template or lab.draft],
        context=services().store.context(launch.context),
        back="../add/" if launch.kind == CHOICE else "../class/",
        faults=faults,
        said=said,
        csrf=form_token(),
    )
    return make_response(page, status)


@blueprint.post("/")
@guarded(of_author)
def bring() -> BaseResponse:
    """A lab in an archive or a repository: a draft, or all that is wrong with it."""
    folder = services().settings.templates_dir
    try:
        with _brought() as found:
            if faults := _faults(found):
                return _page(faults, status=422)
            template = load(found)
            library.keep(template, folder)
        name = template.name
        with library.held(folder):
            _finish(name)
            there = _there(name)
            services().store.draft_lab(current_launch().context, name, template.digest, taken=there, most=MOST_LABS)
            library.prune(folder, app.contents_in_use(services().settings))
    except LabkitError as error:
        return _page(said=str(error), status=422)
    _note("lab brought", f"{name} {template.digest[:12]}")
    return redirect(url_for("authoring.draft", launch=current_launch().id, name=name), 303)


@contextmanager
def _brought() -> Iterator[Path]:
    """The folder of the lab that the form brings."""
    archive, address = request.files.get("archive"), request.form.get("git", "").strip()
    folder = request.form.get("folder", "").strip()
    if not _at_once.acquire(blocking=False):
        raise Conflict("others bring labs at this moment: try again in a minute")
    try:
        if archive and archive.filename:
            with tempfile.TemporaryDirectory(prefix="labkit-") as place:
                path = Path(place) / "archive.zip"
                archive.save(path)
                with library.unpacked(path, folder) as found:
                    yield found
        elif address:
            library.check_address(address)
            known = open_addresses(address, private=services().settings.private_repositories, setting=_SETTING)
            ref = request.form.get("ref", "").strip()
            with library.cloned(address, known, ref=ref, folder=folder) as found:
                yield found
        else:
            raise Conflict("choose a zip archive, or name a Git repository")
    finally:
        _at_once.release()


def _faults(folder: Path) -> Sequence[Fault]:
    """All that keeps a template from being published: its own faults, or what the operator's policy refuses."""
    settings = services().settings
    if faults := lint(folder, any_name=True):
        return faults
    policy = settings.policy_file if settings.policy_file and settings.policy_file.is_file() else None
    texts = app.refused(settings, folder, policy)
    return [Fault("lab.yaml", 0, text.replace(str(policy), "this service's policy")) for text in texts]


@blueprint.get("/<name>/")
@guarded(of_author)
def draft(name: str) -> Response:
    """A draft as it would be published: what would become of steps, and of labs that run."""
    _embeddable()
    lab = _lab(name)
    new, old = _content(lab.draft), _content(lab.published) if _there(name) else None
    if new is None:
        raise NotFound(f"there is no draft of '{name}': bring it again")
    running = sum(row.template == name for row in services().store.labs())
    changes = vars(library.step_changes(old, new)) if old else {}
    about = {"lab": lab, "old": old, "changes": changes, "running": running, "hints": hints(new.folder)}
    return make_response(render_template("draft.html", template=new, **about, csrf=form_token()))


@blueprint.get("/<name>/<which>/<path:file>")
@guarded(of_author)
def preview(name: str, which: str, file: str) -> Response:
    """The pages of a draft, or of what is published."""
    _embeddable()
    lab = _lab(name)
    template = _content({"draft": lab.draft, "published": lab.published}.get(which, ""))
    if template is None:
        raise NotFound(f"'{name}' has nothing {which}")
    return shown(template, file)


@blueprint.post("/<name>/<deed>")
@guarded(of_author)
def do(name: str, deed: str) -> BaseResponse:
    """Publish a draft, discard it, or remove a lab."""
    if deed not in _DEEDS:
        raise NotFound(f"a lab cannot be {deed!r}")
    with library.held(services().settings.templates_dir):
        _finish(name)
        _DEEDS[deed](_lab(name))
    return redirect(url_for("authoring.page", launch=current_launch().id), 303)


def _publish(lab: CourseLab) -> None:
    seen = request.form.get("draft", "")
    content = _content(lab.draft)
    if not seen or seen != lab.draft or content is None:
        raise Conflict(f"the draft of '{lab.name}' is not the one that you have seen: look at it again")
    if faults := _faults(content.folder):  # the policy may have changed since
        raise Invalid(faults)
    library.publish(lab.name, lab.draft, services().settings.templates_dir, over={lab.published} - {""})
    services().store.published_lab(current_launch().context, lab.name, lab.draft)
    _note("lab published", f"{lab.name} {lab.draft[:12]}")


def _finish(name: str) -> None:
    """Write down what a process has published that was killed before it could."""
    for lab in _labs():
        there = library.meant(name, services().settings.templates_dir) if lab.name == name else ""
        if there and there == lab.draft != lab.published:
            services().store.published_lab(current_launch().context, name, lab.draft)


def _discard(lab: CourseLab) -> None:
    services().store.drop_draft(current_launch().context, lab.name)
    _note("lab draft discarded", lab.name)


def _remove(lab: CourseLab) -> None:
    """The name stays the course's: what learners have done under it must not come to be about another lab."""
    folder, store = services().settings.templates_dir, services().store
    if lab.published:
        library.only(lab.name, folder, {lab.published, lab.draft})
        with suppress(NotFound):  # it was removed, and then we were killed
            library.remove(lab.name, folder, labs={row.id for row in store.labs() if row.template == lab.name})
    store.drop_draft(current_launch().context, lab.name)
    _note("lab removed", lab.name)


_DEEDS = {"publish": _publish, "discard": _discard, "remove": _remove}


def _labs() -> list[CourseLab]:
    """The course's labs that are its teachers' to change."""
    return [lab for lab in services().store.course_labs(current_launch().context) if lab.draft or lab.published]


def _lab(name: str) -> CourseLab:
    found = next((lab for lab in _labs() if lab.name == name), None)
    if found is None:
        raise NotFound(f"this course has brought no lab '{name}'")
    return found


def _content(digest: str) -> Template | None:
    """A content that is kept; None where it is not (any more)."""
    kept = library.version(services().settings.templates_dir, digest)
    return load(kept) if kept else None


def _there(name: str) -> bool:
    with suppress(NotFound):
        return bool(find(name, services().settings.templates_dir, paths=False))
    return False


def _note(action: str, target: str) -> None:
    launch = current_launch()
    services().store.audit(launch.learner, action, f"{target} course {launch.context}")


def _embeddable() -> None:
    embeddable([services().platform(current_launch().platform)])
