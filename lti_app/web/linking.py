"""Deep linking: the page on which a teacher picks the labs that become activities of his course."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from labkit.errors import LabkitError, NotFound
from labkit.store import Platform
from labkit.templates import Available, Template, load
from lti_app.guards import LAUNCH_PREFIX, current_launch, form_token, guarded, is_author, of_instructor
from lti_app.headers import embeddable
from lti_app.lti.claims import CHOICE
from lti_app.lti.linking import DATES, Pick, response
from lti_app.lti.offers import offered
from lti_app.lti.outbound import origin_of
from lti_app.refusals import Refusal
from lti_app.services import services
from lti_app.web.reading import model_of, shown

blueprint = Blueprint("linking", __name__, url_prefix=f"{LAUNCH_PREFIX}/add")


@blueprint.get("/")
@guarded(of_instructor)
def page() -> BaseResponse:
    """The labs that this course may use."""
    platform, settings = _asked()
    embeddable([platform])
    templates = [(one, load(one.folder)) for one in _offered(platform).values()]
    found = [(one, template, model_of(template)) for one, template in templates]
    several = bool(settings.get("accept_multiple"))
    page = render_template("add.html", found=found, several=several, csrf=form_token(), author=is_author())
    return make_response(page)


@blueprint.post("/")
@guarded(of_instructor)
def choose() -> BaseResponse:
    """What was picked, signed, in a form that goes back to the platform; nothing picked is an answer, too."""
    platform, settings = _asked()
    names = [] if "cancel" in request.form else request.form.getlist("lab")
    if len(names) > 1 and not settings.get("accept_multiple"):
        raise LabkitError("pick one lab: your course takes no more at once")
    allowed = _offered(platform)
    if strange := set(names) - set(allowed):
        raise NotFound(f"this course may not use the lab {sorted(strange)[0]!r}")
    picks = [_pick(load(allowed[name].folder), request.form) for name in dict.fromkeys(names)]
    back = str(settings["deep_link_return_url"])
    context = services().store.context(current_launch().context)
    token = response(services().tool_keys, platform, context.deployment if context else "", settings, picks)
    embeddable([platform], forms=[origin_of(back)])
    return make_response(render_template("added.html", back=back, token=token, picks=picks))


@blueprint.get("/preview/<name>/<path:file>")
@guarded(of_instructor)
def preview(name: str, file: str) -> Response:
    """A lab's pages, to be read, as `labkit render` writes them."""
    platform, _ = _asked()
    found = _offered(platform).get(name)
    if found is None:
        raise NotFound(f"this course may not use the lab {name!r}")
    embeddable([platform])
    return shown(load(found.folder), file)


def _asked() -> tuple[Platform, Mapping[str, Any]]:
    """The platform, and what it asked for. Raises Refusal where this launch is not for picking."""
    launch = current_launch()
    platform, settings = services().platform(launch.platform), launch.details.get("deep_linking")
    if launch.kind != CHOICE or not isinstance(settings, dict):
        raise Refusal("not-linking", "This visit is not for adding an activity.", status=404)
    if "ltiResourceLink" not in settings.get("accept_types", ()):
        raise Refusal("no-links", "Your course does not take activities from labkit here.", status=422)
    return platform, settings


def _offered(platform: Platform) -> dict[str, Available]:
    return {one.name: one for one in offered(services(), platform, current_launch().context)}


def _pick(template: Template, form: Mapping[str, str]) -> Pick:
    """One picked lab, with what the form says of it. Raises LabkitError for what is no number or time."""
    name, zone = template.name, form.get("zone", "0")
    try:
        points = float(form.get(f"points.{name}", "") or 0)
        offset = 60.0 * int(zone)
        said = {each: form.get(f"{each}.{name}", "") for each in DATES}
        dates = {
            each: datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() + offset
            for each, text in said.items()
            if text
        }
    except ValueError as error:
        raise LabkitError(f"{name}: points are a number, and times are times ({error})") from None
    return Pick(name, form.get(f"title.{name}", "").strip() or template.title, template.description, points, dates)
