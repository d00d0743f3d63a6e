"""What the platform says to a tool through the browser: login requests, launches, deep linking, registration."""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Callable
from functools import cache
from html import escape
from typing import Any
from urllib.parse import quote, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.platform.course import MEMBERSHIP, Site
from tests.support.platform.services import NRPS, SCOPES, Answer, Request, Services, told

LTI = "https://purl.imsglobal.org/spec/lti/claim/"
LINKING = "https://purl.imsglobal.org/spec/lti-dl/claim/"
TOOL = "https://purl.imsglobal.org/spec/lti-tool-configuration"


@cache
def _key(number: int) -> rsa.RSAPrivateKey:
    """Making one takes a while: the first platform's first key is every platform's first key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Messages:
    """The platform's side of a launch. `tool` is the tool's origin; its addresses are labkit's, or as registered."""

    def __init__(self, site: Site, tool: str, now: Callable[[], float], fetch_context: Any = None) -> None:
        self.site, self.tool, self.now, self._tls = site, tool.rstrip("/"), now, fetch_context
        self.origin, self.client, self.deployment = "", f"client-{secrets.token_hex(4)}", "1"
        self.login, self.redirects = f"{self.tool}/lti/login", [f"{self.tool}/lti/launch"]
        self.jwks_uri = f"{self.tool}/lti/jwks"
        self.services = Services(site, self.verify, now)
        self._tool_keys: jwt.PyJWKSet | None = None
        self._rotations = 0
        self._hints: dict[str, dict[str, str]] = {}
        self.registration_tokens: set[str] = set()
        self.registrations: list[dict[str, Any]] = []
        self.linked: list[dict[str, Any]] = []
        self.rotate()

    # The platform's key, and the tool's

    def rotate(self, *, keep: bool = False) -> None:
        """Sign with a new key from now on; the one before stays published where it is to be kept."""
        earlier = [self.public] if keep else []
        self._key, self.kid = _key(self._rotations), secrets.token_hex(8)
        self._rotations += 1
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        self.public = {**public, "kid": self.kid, "alg": "RS256", "use": "sig"}
        self.keys = {"keys": [self.public, *earlier]}

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        """Any claims, signed with the platform's key."""
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self.kid, **headers})

    def trust(self, keys: dict[str, Any]) -> None:
        """Know the tool's keys without having fetched them."""
        self._tool_keys = jwt.PyJWKSet.from_dict(keys)

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of what the tool has signed. Its keys are kept, and fetched anew only where that fails."""
        options: Any = {"verify_aud": False, "verify_iat": False, "verify_exp": False, "require": ["exp"]}
        for fresh in (False, True):
            try:
                if fresh or self._tool_keys is None:
                    with urllib.request.urlopen(self.jwks_uri, timeout=10, context=self._tls) as answer:
                        self._tool_keys = jwt.PyJWKSet.from_json(answer.read().decode())
                key = self._tool_keys[jwt.get_unverified_header(token)["kid"]]
                claims: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], options=options)
            except (jwt.PyJWTError, KeyError, OSError) as error:
                failed: Exception = error
                continue
            if claims["exp"] < self.now():
                raise jwt.ExpiredSignatureError
            return claims
        raise jwt.InvalidTokenError(str(failed))

    # A launch, in its three messages

    def login_request(self, user: str, course: str, activity: str = "", *, review: str = "") -> dict[str, str]:
        """What the platform posts to the tool first. Without an activity it is for deep linking."""
        hint = secrets.token_hex(8)
        self._hints[hint] = {"user": user, "course": course, "activity": activity, "review": review}
        return {
            "iss": self.origin,
            "target_link_uri": self.redirects[0],
            "login_hint": user,
            "lti_message_hint": json.dumps({"cmid": 4, "launchid": hint}),
            "client_id": self.client,
            "lti_deployment_id": self.deployment,
        }

    def authorize(self, request: Request) -> Answer:
        """auth.php: the page that posts the id_token to the tool. A hint is good once."""
        asked = {**request.query, **(request.form if request.method == "POST" else {})}
        wanted = {"scope": "openid", "response_type": "id_token", "response_mode": "form_post"}
        right = all(asked.get(name) == value for name, value in wanted.items()) and asked.get("prompt") in ("none", "")
        try:
            launch = self._hints.pop(json.loads(asked["lti_message_hint"])["launchid"])
        except (KeyError, ValueError):
            return Answer(404, "<p>Invalid request</p>", "text/html")
        known = asked.get("client_id") == self.client and asked.get("redirect_uri") in self.redirects
        if not right or not known or not asked.get("nonce") or launch["user"] != asked.get("login_hint"):
            return Answer(400, "<p>Unregistered redirect_uri or wrong request</p>", "text/html")
        token = self.sign(
            self.claims(launch["user"], launch["course"], launch["activity"], launch["review"])
            | {"nonce": asked["nonce"]}
        )
        return self.post_page(asked["redirect_uri"], {"id_token": token, "state": asked.get("state", "")})

    def claims(self, user: str, course: str, activity: str = "", review: str = "") -> dict[str, Any]:
        """The claims of a launch, but for the nonce."""
        person, place, now = self.site.people[user], self.site.courses[course], int(self.now())
        role = self.site.role(course, user)
        kind = "LtiSubmissionReviewRequest" if review else "LtiResourceLinkRequest"
        memberships = f"{self.origin}/mod/lti/services.php/CourseSection/{course}/bindings/1/memberships"
        found: dict[str, Any] = {
            "iss": self.origin, "aud": self.client, "sub": user, "iat": now, "exp": now + 60,
            "given_name": person.given, "family_name": person.family, "name": person.name, "email": person.email,
            f"{LTI}version": "1.3.0",
            f"{LTI}message_type": kind if activity else "LtiDeepLinkingRequest",
            f"{LTI}deployment_id": self.deployment,
            f"{LTI}target_link_uri": self.redirects[0],
            f"{LTI}roles": [MEMBERSHIP + role],
            f"{LTI}context": {
                "id": course, "label": place.label, "title": place.title, "type": ["CourseSection"],
            },
            f"{LTI}launch_presentation": {
                "locale": "en", "document_target": "iframe",
                "return_url": f"{self.origin}/mod/lti/return.php?course={course}&sesskey=onovcvSaoY",
            },
            f"{LTI}tool_platform": {"product_family_code": "moodle", "version": "2024100706", "guid": "b1b4"},
            f"{LTI}custom": {"context_memberships_url": memberships, "user_name": person.given},
            "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint": {
                "scope": [scope for scope in SCOPES if scope != NRPS], "lineitems": self.services.url(course),
            },
            "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice": {
                "context_memberships_url": memberships, "service_versions": ["1.0", "2.0"],
            },
        }  # fmt: skip
        if not activity:
            return found | {f"{LINKING}deep_linking_settings": self.linking_settings(course)}
        return found | self._about(found, course, activity, review)

    def _about(self, found: dict[str, Any], course: str, activity: str, review: str) -> dict[str, Any]:
        one, items = self.site.courses[course].activities[activity], self.site.coupled(course, activity)
        endpoint = dict(found["https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"])
        # Names of service addresses among an activity's custom parameters end up in the signed claim.
        if hijacked := one.custom.get("lineitem_url"):
            endpoint["lineitem"] = hijacked
        if len(items) == 1:
            endpoint["lineitem"] = self.services.url(course, items[0].id)
        more: dict[str, Any] = {
            "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint": endpoint,
            f"{LTI}resource_link": {"id": activity, "title": one.title, "description": one.text},
            f"{LTI}custom": {**one.custom, **found[f"{LTI}custom"]},
        }
        return more | ({f"{LTI}for_user": {"user_id": review}} if review else {})

    def linking_settings(self, course: str) -> dict[str, Any]:
        """What a deep linking request says of what it takes, and where."""
        return {
            "accept_types": ["ltiResourceLink"],
            "accept_presentation_document_targets": ["frame", "iframe", "window"],
            "accept_multiple": True,
            "auto_create": False,
            "deep_link_return_url": f"{self.origin}/mod/lti/contentitem_return.php?course={course}&id=1&sesskey=s7CX",
            "title": "labkit",
            "text": "",
        }

    def take_items(self, request: Request) -> Answer:
        """contentitem_return.php: makes an activity of each item that the tool has signed."""
        claims = self.verify(request.form["JWT"])
        if claims["iss"] != self.client or claims["aud"] != self.origin or "data" in claims:
            return Answer(400, "<p>Invalid response</p>", "text/html")
        if claims[f"{LTI}message_type"] != "LtiDeepLinkingResponse":
            return Answer(400, "<p>Wrong message</p>", "text/html")
        for item in claims.get(f"{LINKING}content_items", []):
            line = item.get("lineItem")
            made = self.site.activity(
                request.query["course"],
                item.get("title", ""),
                points=line["scoreMaximum"] if line else None,
                item={name: line[name] for name in ("tag", "resourceId", "submissionReview") if name in line}
                if line
                else None,
                **item.get("custom", {}),
            )
            made.text = item.get("text", "")
            self.linked.append(item)
        return Answer(200, "<p>Items were added.</p>", "text/html")

    # Dynamic registration

    def registration_address(self, begin: str) -> str:
        """The tool's address `begin` as the platform opens it to have itself registered."""
        token = secrets.token_hex(16)
        self.registration_tokens.add(token)
        configuration = quote(f"{self.origin}/mod/lti/openid-configuration.php", safe="")
        mark = "&" if "?" in begin else "?"
        return f"{begin}{mark}openid_configuration={configuration}&registration_token={token}"

    def configuration(self) -> dict[str, Any]:
        """openid-configuration.php."""
        base = f"{self.origin}/mod/lti"
        return {
            "issuer": self.origin,
            "token_endpoint": f"{base}/token.php",
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
            "jwks_uri": f"{base}/certs.php",
            "authorization_endpoint": f"{base}/auth.php",
            "registration_endpoint": f"{base}/openid-registration.php",
            "scopes_supported": [*SCOPES, "openid"],
            "response_types_supported": ["id_token"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": ["sub", "iss", "name", "given_name", "family_name", "email"],
            "https://purl.imsglobal.org/spec/lti-platform-configuration": {
                "product_family_code": "moodle",
                "version": "4.5.6",
                "messages_supported": [{"type": "LtiResourceLinkRequest"}, {"type": "LtiDeepLinkingRequest"}],
            },
        }

    def register(self, request: Request) -> Answer:
        """openid-registration.php: a token is good once."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.registration_tokens:
            return told({"error": "token_already_used" if token else "missing_registration_token"}, 401)
        wish = json.loads(request.body)
        configured = wish.get(TOOL, {})
        host = urlsplit(configured.get("target_link_uri", "")).netloc
        needed = ("initiate_login_uri", "redirect_uris", "client_name", "jwks_uri")
        if not all(wish.get(name) for name in needed) or not host or host != configured.get("domain"):
            return told({"error": "invalid_client_metadata"}, 400)
        if wish.get("response_types") != ["id_token"] or wish["token_endpoint_auth_method"] != "private_key_jwt":
            return told({"error": "invalid_client_metadata"}, 400)
        self.registration_tokens.discard(token)
        self.client, self.deployment = f"client-{secrets.token_hex(4)}", "2"
        self.services.client, self._tool_keys = self.client, None
        self.login, self.redirects = wish["initiate_login_uri"], list(wish["redirect_uris"])
        self.jwks_uri = wish["jwks_uri"]
        self.registrations.append(wish)
        answer = {**wish, "client_id": self.client}
        answer[TOOL] = {**configured, "deployment_id": self.deployment, "version": "1.3.0"}
        return told(answer)

    @staticmethod
    def post_page(address: str, values: dict[str, str], target: str = "_self") -> Answer:
        """A page that posts a form by itself."""
        fields = "".join(f'<input type="hidden" name="{name}" value="{escape(text)}">' for name, text in values.items())
        form = f'<form method="post" action="{escape(address)}" target="{target}">{fields}<button>Go on</button></form>'
        return Answer(200, f"<!doctype html>{form}<script>document.forms[0].submit()</script>", "text/html")
