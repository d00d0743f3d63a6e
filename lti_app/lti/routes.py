"""Sign-in and launch: `GET|POST /lti/login`, `POST /lti/launch`, `GET /lti/jwks`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from labkit.store import Launch, LaunchRole, LaunchState, NewLaunch, Platform, PlatformState
from lti_app.guards import LAUNCH_PREFIX, SESSION_COOKIE, anybody, guarded, hashed
from lti_app.headers import embeddable, embeddable_anywhere
from lti_app.lti import claims as c
from lti_app.lti import offers
from lti_app.lti.landings import landing
from lti_app.lti.linking import window
from lti_app.lti.platform_keys import KeysUnavailable
from lti_app.lti.validation import Expected, verified
from lti_app.refusals import Refusal
from lti_app.services import services

blueprint = Blueprint("lti", __name__, url_prefix="/lti")

BROWSER_COOKIE = "__Host-labkit-sign-in"
STATE_SECONDS = 300.0
MOST_STATES = 20_000
"""Sign-ins under way at once; more push out the oldest, so that a flood costs little."""
_MOST_FIELD = 4096
_ASKED = "cookies"
_FIELDS = ("iss", "login_hint", "target_link_uri", "client_id", "lti_deployment_id", "lti_message_hint")
_AGAIN = "Go back to your course and open the activity again."


@blueprint.route("/login", methods=["GET", "POST"])
@guarded(anybody)
def login() -> BaseResponse:
    """Third-party initiated login: answered by a redirect to the platform, once the browser has shown that it keeps our
    cookie. Where it does not, a page offers a window in which it would."""
    embeddable_anywhere()
    given = _fields()
    platform = _platform(given)
    embeddable([platform])
    browser = request.cookies.get(BROWSER_COOKIE, "")
    if len(browser) < 32:
        if _ASKED in given:
            address = f"{url_for('lti.login')}?{urlencode({name: given[name] for name in _FIELDS if name in given})}"
            return make_response(render_template("cookies.html", address=address), 200)
        answer = redirect(f"{url_for('lti.login')}?{urlencode({**given, _ASKED: 'asked'})}", 302)
        _set_cookie(answer, BROWSER_COOKIE, secrets.token_urlsafe(32), seconds=30 * 86400)
        return answer
    state = LaunchState(
        state=secrets.token_urlsafe(24),
        nonce=secrets.token_urlsafe(24),
        platform=platform.id,
        browser=hashed(browser),
        expires=time.time() + STATE_SECONDS,
        deployment=given.get("lti_deployment_id", ""),
    )
    services().store.add_state(state, MOST_STATES)
    return redirect(_authorization(platform, state, given), 302)


@blueprint.post("/launch")
@guarded(anybody)
def launch() -> BaseResponse:
    """The platform's answer, posted by the browser. Where all is well: a new session, and a clean address."""
    embeddable_anywhere()
    state, platform = _sign_in()
    if request.form.get("error"):
        said = " ".join(filter(None, (c.text(request.form.get(name)) for name in ("error", "error_description"))))
        raise Refusal("platform-error", f"Your learning platform said: {said}. {_AGAIN}", detail=said)
    expected = Expected(platform, state, services().origin, time.time(), services().settings.launch_leeway)
    try:
        found = verified(
            request.form.get("id_token", ""), expected, lambda kid: services().key_finder.find(platform, kid)
        )
    except KeysUnavailable as error:
        text = "Your learning platform's keys cannot be fetched, so its message cannot be checked. Try again later."
        raise Refusal("keys-unavailable", text, detail=str(error), status=424) from error
    secret = secrets.token_urlsafe(32)
    new = _new_launch(found, platform, hashed(secret))
    where = landing(new.kind, new.role)
    recorded = services().store.record_launch(state.state, new)
    if recorded is None:
        raise Refusal("state-used", f"This launch was used already, or took too long. {_AGAIN}")
    services().embedding.tell_of(platform)
    return _entered(recorded, secret, url_for(where, launch=recorded.id))


@blueprint.get("/jwks")
@guarded(anybody)
def jwks() -> Response:
    """The public keys with which platforms verify what we sign."""
    answer = jsonify(services().tool_keys.jwks())
    answer.headers["Cache-Control"] = "public, max-age=300"
    return answer


def _fields() -> dict[str, str]:
    """What a sign-in brings, by GET or POST. Raises Refusal for what is missing, or far too long."""
    sent = request.form if request.method == "POST" else request.args
    given = {name: sent[name] for name in (*_FIELDS, _ASKED) if name in sent}
    missing = [name for name in _FIELDS[:3] if not given.get(name)]
    if missing:
        text = "This page begins a visit from a course. Open the activity in your course."
        raise Refusal("login-incomplete", text, detail=f"missing: {', '.join(missing)}")
    if any(len(value) > _MOST_FIELD for value in given.values()):
        raise Refusal("login-too-long", f"The sign-in is longer than it may be. {_AGAIN}")
    return given


def _platform(given: Mapping[str, str]) -> Platform:
    """The active platform that a sign-in is from. Several clients of one issuer need to say which they are."""
    client = given.get("client_id")
    found = [one for one in services().store.platforms_of(given["iss"]) if client in (None, "", one.client_id)]
    active = [one for one in found if one.state is PlatformState.ACTIVE]
    if len(active) == 1:
        return active[0]
    about = f"{given['iss']} {client}"
    if len(active) > 1:
        raise Refusal("which-client", "Your learning platform does not say which of its tools this is.", detail=about)
    if found:
        text = "Your learning platform is registered, and not switched on here yet."
        raise Refusal("platform-not-active", text, detail=about, status=403)
    text = "Your learning platform is not registered here, so that nothing can be opened. Please tell your teacher."
    raise Refusal("unknown-platform", text, detail=about, status=403)


def _authorization(platform: Platform, state: LaunchState, given: Mapping[str, str]) -> str:
    """The platform's address to go to (OpenID Connect, implicit flow, by form post). Hints go back as they came."""
    query = {
        "scope": "openid",
        "response_type": "id_token",
        "response_mode": "form_post",
        "prompt": "none",
        "client_id": platform.client_id,
        "redirect_uri": services().address(url_for("lti.launch")),
        "login_hint": given["login_hint"],
        "state": state.state,
        "nonce": state.nonce,
    }
    if "lti_message_hint" in given:
        query["lti_message_hint"] = given["lti_message_hint"]
    joint = "&" if urlsplit(platform.auth_url).query else "?"
    return f"{platform.auth_url}{joint}{urlencode(query)}"


def _sign_in() -> tuple[LaunchState, Platform]:
    """The sign-in that a launch answers: known, in time, of this browser, and of a platform that is still active."""
    given = request.form.get("state", "")
    state = services().store.state(given) if given else None
    platform = services().store.platform(state.platform) if state else None
    if state is None or platform is None:
        raise Refusal("state-unknown", f"This launch was not begun here, or was used already. {_AGAIN}")
    embeddable([platform])
    if state.expires < time.time():
        raise Refusal("state-expired", f"The sign-in took too long. {_AGAIN}")
    browser = request.cookies.get(BROWSER_COOKIE, "")
    if not browser:
        text = (
            "Your browser did not send labkit's cookie along. Allow cookies, or have the activity open in a new window."
        )
        raise Refusal("no-cookie", f"{text} {_AGAIN}")
    if hashed(browser) != state.browser:
        raise Refusal("other-browser", f"This sign-in was begun in another browser. {_AGAIN}")
    if platform.state is not PlatformState.ACTIVE:
        text = "Your learning platform is not switched on here any more."
        raise Refusal("platform-not-active", text, detail=platform.id, status=403)
    return state, platform


def _new_launch(found: Mapping[str, Any], platform: Platform, secret: str) -> NewLaunch:
    context, kind, role = found.get(c.CONTEXT) or {}, str(found[c.MESSAGE_TYPE]), c.role_of(found[c.ROLES])
    details = {"deep_linking": found.get(c.DEEP_LINKING), "for_user": (found.get(c.FOR_USER) or {}).get("user_id")}
    details["dates"] = window(found.get(c.CUSTOM) or {})
    template = _template(found, platform, role) if kind == c.RESOURCE else ""
    return NewLaunch(
        platform=platform,
        deployment=found[c.DEPLOYMENT],
        kind=kind,
        subject=found["sub"],
        name=c.name_of(found),
        role=role,
        secret=secret,
        seconds=services().settings.launch_hours * 3600,
        context=context.get("id", ""),
        label=c.text(context.get("label")),
        title=c.text(context.get("title")),
        roster_url=c.roster_of(found, platform),
        link=c.link_of(found, platform, template),
        locale=c.text((found.get(c.PRESENTATION) or {}).get("locale")),
        details={name: value for name, value in details.items() if value is not None},
    )


def _template(found: Mapping[str, Any], platform: Platform, role: LaunchRole) -> str:
    """The lab that the activity asks for, once it is known that its course may use it; empty where it asks for none
    and has one, or is opened by a teacher, who is told what to do."""
    asked = (found.get(c.CUSTOM) or {}).get("lab") or ""
    context = (found.get(c.CONTEXT) or {}).get("id", "")
    course = offers.course_of(services().store, platform, found[c.DEPLOYMENT], context)
    if asked:
        if offers.may_use(services(), platform, course, asked):
            return str(asked)
        text = "The lab that this activity asks for is not one that this course may use. Please tell your teacher."
        raise Refusal("lab-not-offered", text, detail=asked, status=404)
    known = services().store.link_of(course, found[c.RESOURCE_LINK]["id"]) if course else None
    if role is not LaunchRole.INSTRUCTOR and not (known and known.template):
        raise Refusal("no-lab", "This activity has no lab yet. Please tell your teacher.", status=404)
    return ""


def _entered(launch: Launch, secret: str, address: str) -> BaseResponse:
    """A clean address, and a cookie for just that: what else this browser was launched as stays as it is."""
    answer = redirect(address, 303)
    _set_cookie(
        answer,
        SESSION_COOKIE,
        secret,
        seconds=launch.expires - launch.created,
        path=LAUNCH_PREFIX.replace("<launch>", launch.id) + "/",
    )
    return answer


def _set_cookie(answer: BaseResponse, name: str, value: str, *, seconds: float, path: str = "/") -> None:
    """A cookie that also lives in a platform's frame: partitioned, so that browsers keep it where they block others."""
    answer.set_cookie(
        name, value, int(seconds), path=path, secure=True, httponly=True, samesite="None", partitioned=True
    )
