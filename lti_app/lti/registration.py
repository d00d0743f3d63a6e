"""Dynamic registration: a platform's administrator follows a link that an operator has made (LTI-DR 1.0).

The link names the platform's origin, so nothing that the request says decides where we ask: the configuration and all
that it names must be there. It is good once and for a while, and kept as a hash.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from labkit.errors import LabkitError
from labkit.store import Platform, PlatformState, RegistrationLink, new_id
from lti_app.lti import ags, nrps
from lti_app.lti.calls import body_of
from lti_app.lti.outbound import fetch, origin_of

_TOOL = "https://purl.imsglobal.org/spec/lti-tool-configuration"
_PLATFORM = "https://purl.imsglobal.org/spec/lti-platform-configuration"
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri", "registration_endpoint")
SCOPES = (ags.SCORE, ags.RESULT, ags.ITEM, nrps.SCOPE)
"""What the tool asks for: to send scores, to see what became of them, line items, and who is in a course."""


class RegistrationRefused(LabkitError):
    """The platform could not be registered; the text says why, for its administrator."""


def addresses(origin: str) -> dict[str, str]:
    """The tool's addresses, as a platform's administrator needs them: what each is called there, and the address."""
    return {
        "Initiate login URL": f"{origin}/lti/login",
        "Redirection URI": f"{origin}/lti/launch",
        "Tool URL": f"{origin}/lti/launch",
        "Content selection URL": f"{origin}/lti/launch",
        "Public keyset URL": f"{origin}/lti/jwks",
    }


def wish(origin: str, name: str = "labkit") -> dict[str, Any]:
    """What the tool asks a platform to register. `origin` is our own."""
    launch = f"{origin}/lti/launch"
    return {
        "application_type": "web",
        "response_types": ["id_token"],
        "grant_types": ["implicit", "client_credentials"],
        "initiate_login_uri": f"{origin}/lti/login",
        "redirect_uris": [launch],
        "client_name": name,
        "jwks_uri": f"{origin}/lti/jwks",
        "token_endpoint_auth_method": "private_key_jwt",
        "scope": " ".join(SCOPES),
        _TOOL: {
            "domain": urlsplit(origin).netloc,
            "description": "Labs on real machines, in the browser",
            "target_link_uri": launch,
            "claims": ["iss", "sub", "name", "given_name", "family_name"],
            "messages": [
                {"type": "LtiDeepLinkingRequest", "target_link_uri": launch, "label": name},
                {"type": "LtiResourceLinkRequest"},
            ],
        },
    }


def register(link: RegistrationLink, configuration_url: str, token: str, origin: str, *, private: bool) -> Platform:
    """Have the tool registered at a platform; the platform as we are to keep it.

    `token` is the platform's own, sent on as it came. Raises RegistrationRefused, OutboundRefused.
    """
    about = draft(link)
    answer = fetch(about, configuration_url, private=private)
    told = body_of(answer)
    if answer.status != 200 or not isinstance(told, dict):
        raise RegistrationRefused(f"the platform's configuration cannot be read (status {answer.status})")
    _check(told, link)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps(wish(origin))
    answer = fetch(about, told["registration_endpoint"], private=private, method="POST", headers=headers, data=body)
    made = body_of(answer)
    if answer.status not in (200, 201) or not isinstance(made, dict) or not made.get("client_id"):
        why = made.get("error", "") if isinstance(made, dict) else ""
        raise RegistrationRefused(f"the platform has refused the registration ({answer.status} {why})")
    return _platform(link, told, made)


def draft(link: RegistrationLink) -> Platform:
    """The platform as far as it is known before it has said anything: where it may be."""
    return Platform("", link.origin, "", link.origin, "", "", "", origins=link.origins)


def _check(told: Mapping[str, Any], link: RegistrationLink) -> None:
    """Raises RegistrationRefused with every fault of a platform's configuration."""
    allowed = {link.origin, *link.origins}
    faults = [
        f"{name} is missing" if not told.get(name) else f"{name} is elsewhere"
        for name in ("issuer", *_ENDPOINTS)
        if origin_of(str(told.get(name, ""))) not in allowed
    ]
    if origin_of(str(told.get("issuer", ""))) not in ("", link.origin):
        faults.append(f"its issuer is not at {link.origin}, for which this link was made")
    algorithms = told.get("id_token_signing_alg_values_supported", ["RS256"])
    if not isinstance(algorithms, list) or "RS256" not in algorithms:
        faults.append("it does not sign with RS256")
    if faults:
        raise RegistrationRefused("the platform's configuration cannot be used: " + "; ".join(faults))


def _platform(link: RegistrationLink, told: Mapping[str, Any], made: Mapping[str, Any]) -> Platform:
    tool = made.get(_TOOL)
    deployment = tool.get("deployment_id") if isinstance(tool, dict) else None
    about = told.get(_PLATFORM)
    family = about.get("product_family_code", "") if isinstance(about, dict) else ""
    return Platform(
        id=new_id(),
        issuer=str(told["issuer"]),
        client_id=str(made["client_id"]),
        name=link.name or f"{family} {urlsplit(link.origin).netloc}".strip(),
        auth_url=str(told["authorization_endpoint"]),
        token_url=str(told["token_endpoint"]),
        jwks_url=str(told["jwks_uri"]),
        deployments=(str(deployment),) if deployment else (),
        origins=link.origins,
        templates=link.templates,
        state=PlatformState.ACTIVE,
        created=time.time(),
    )
