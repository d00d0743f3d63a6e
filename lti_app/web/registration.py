"""Dynamic registration, by a link that an operator has made; and the addresses that manual registration needs."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template, request

from labkit.store import RegistrationLink
from lti_app.guards import anybody, guarded, hashed
from lti_app.headers import embeddable
from lti_app.lti import registration
from lti_app.refusals import Refusal
from lti_app.services import services

blueprint = Blueprint("registration", __name__, url_prefix="/lti")

_MOST = 4096


@blueprint.get("/")
@guarded(anybody)
def addresses() -> Response:
    """What an administrator types into a platform's form."""
    return make_response(render_template("addresses.html", addresses=registration.addresses(services().origin)))


@blueprint.get("/register/<secret>")
@guarded(anybody)
def ask(secret: str) -> Response:
    """Where the platform's administrator arrives. Nothing is asked of the platform until he says so."""
    link = _link(secret)
    embeddable([registration.draft(link)])
    configuration = request.args.get("openid_configuration", "")
    token = request.args.get("registration_token", "")
    if not configuration or len(configuration) > _MOST or len(token) > _MOST:
        text = "Give this whole address to your learning platform as a tool's address: it adds what is missing here."
        raise Refusal("no-configuration", text)
    page = render_template("register.html", link=link, configuration=configuration, token=token)
    return make_response(page)


@blueprint.post("/register/<secret>")
@guarded(anybody)
def register(secret: str) -> Response:
    """Register at the platform, keep it, and use the link up. The secret in the address is the right to do so."""
    link, private = _link(secret), services().settings.private_platforms
    embeddable([registration.draft(link)])
    configuration, token = request.form.get("configuration", ""), request.form.get("token", "")
    platform = registration.register(link, configuration, token, services().origin, private=private)
    services().store.register_platform(link.secret, platform)
    services().store.audit("operator", "platform registered itself", platform.id)
    return make_response(render_template("registered.html", platform=platform, origin=link.origin))


def _link(secret: str) -> RegistrationLink:
    found = services().store.registration_link(hashed(secret))
    if found is None:
        text = "This link has been used, or has expired. Ask those who run labkit for another one."
        raise Refusal("no-registration", text, status=404)
    return found
