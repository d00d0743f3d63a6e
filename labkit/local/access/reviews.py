"""Questions that are answered instead of stored: who am I, may I, may they, whose token is this; and new tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from aiohttp import web

from labkit.local.access.guard import Guard
from labkit.local.access.rights import Rights
from labkit.local.access.rules import Attributes, User
from labkit.local.access.tokens import ISSUER, Tokens
from labkit.local.api.bodies import decode
from labkit.local.api.checking import check
from labkit.local.api.paths import ResourcePath
from labkit.local.api.schemas import definitions
from labkit.local.api.status import ApiError, Cause, bad_request, invalid, method_not_allowed
from labkit.local.objects import Obj, timestamp
from labkit.local.store import Store

Handler = Callable[[web.Request, ResourcePath], Awaitable[web.StreamResponse]]
Answer = Callable[[User, Obj, ResourcePath], Obj]
"""From who asks and the review's spec (to be completed in place): the status."""


class Reviews:
    """Each kind is a row of ``routes``."""

    def __init__(self, store: Store, rights: Rights, tokens: Tokens, guard: Guard) -> None:
        self._store, self._rights, self._tokens, self._guard = store, rights, tokens, guard

    def routes(self) -> dict[tuple[str, str], Handler]:
        """Handlers by kind key and subresource, as the server wants them."""
        answers: dict[tuple[str, str], Answer] = {
            ("authentication", "SelfSubjectReview"): lambda user, _, __: {"userInfo": user.info()},
            ("authentication", "TokenReview"): self._token_review,
            ("authorization", "SelfSubjectAccessReview"): self._access,
            ("authorization", "SelfSubjectRulesReview"): self._rules,
            ("authorization", "SubjectAccessReview"): self._subject_access,
            ("authorization", "LocalSubjectAccessReview"): self._subject_access,
        }
        found = {
            (f"{kind.lower()}s.{group}.k8s.io", ""): _handler(group, kind, a) for (group, kind), a in answers.items()
        }
        return found | {("serviceaccounts", "token"): _handler("authentication", "TokenRequest", self._token)}

    def _access(self, user: User, spec: Obj, path: ResourcePath) -> Obj:
        about, other = spec.get("resourceAttributes") or {}, spec.get("nonResourceAttributes") or {}
        if bool(about) == bool(other):
            why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            raise invalid("SelfSubjectAccessReview", "authorization.k8s.io", "", [Cause("spec", why)])
        if path.namespace and about.get("namespace") != path.namespace:
            raise bad_request(f"spec.resourceAttributes.namespace must match namespace: {path.namespace}")
        resource = "/".join(part for part in (about.get("resource"), about.get("subresource")) if part)
        place = {key: about.get(key) or "" for key in ("group", "namespace", "name")}
        verb = (about or other).get("verb") or ""
        return {
            "allowed": self._rights.may(
                user, Attributes(verb, resource=resource, path=other.get("path") or "", **place)
            )
        }

    def _subject_access(self, _: User, spec: Obj, path: ResourcePath) -> Obj:
        return self._access(User(spec.get("user") or "", tuple(spec.get("groups") or ())), spec, path)

    def _rules(self, user: User, spec: Obj, _: ResourcePath) -> Obj:
        rules = self._rights.rules(user, spec.get("namespace") or "")
        resources = [rule for rule in rules if rule.get("resources")]
        others = [rule for rule in rules if rule.get("nonResourceURLs")]
        return {"resourceRules": resources, "nonResourceRules": others, "incomplete": False}

    def _token_review(self, _: User, spec: Obj, __: ResourcePath) -> Obj:
        token, audiences = spec.get("token") or "", spec.get("audiences") or [ISSUER]
        try:
            user = self._tokens.user(token, audiences) or self._guard.user(token)
        except ApiError:
            return {"authenticated": False, "error": "invalid bearer token"}
        return {"authenticated": True, "user": user.info(), "audiences": audiences}

    def _token(self, _: User, spec: Obj, path: ResourcePath) -> Obj:
        account = self._store.require("serviceaccounts", path.namespace, path.name)
        spec["audiences"] = spec.get("audiences") or [ISSUER]
        if spec.get("expirationSeconds") is None:
            spec["expirationSeconds"] = 3600
        token, expires = self._tokens.issue(account, spec)
        return {"token": token, "expirationTimestamp": timestamp(datetime.fromtimestamp(expires, UTC))}


def _handler(group: str, kind: str, answer: Answer) -> Handler:
    async def handle(request: web.Request, path: ResourcePath) -> web.StreamResponse:
        if request.method != "POST":
            raise method_not_allowed(request.method, f"{path.plural}/{path.subresource}".rstrip("/"))
        body = decode(await request.read(), request.content_type).value
        _, found = check(definitions()[f"io.k8s.api.{group}.v1.{kind}"], body)
        if body is None or found.wrong:
            raise bad_request(f"{kind} in version v1: {'; '.join(found.wrong) or 'there is no body'}")
        spec = body.get("spec") or {}
        metadata = {"name": path.name or None, "namespace": path.namespace or None, "creationTimestamp": None}
        about = {"kind": kind, "apiVersion": f"{group}.k8s.io/v1", "metadata": metadata}
        status = answer(request["caller"].user, spec, path)
        return web.json_response({**about, "spec": spec, "status": status}, status=201)

    return handle
