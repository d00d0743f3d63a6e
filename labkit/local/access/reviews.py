"""Questions that are answered instead of stored: who am I, what may I; and new tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from aiohttp import web

from labkit.local.access.rights import Rights
from labkit.local.access.rules import Attributes, User
from labkit.local.access.tokens import ISSUER, Tokens
from labkit.local.api.bodies import read
from labkit.local.api.checking import check
from labkit.local.api.paths import ResourcePath
from labkit.local.api.schemas import definitions
from labkit.local.api.status import Cause, bad_request, invalid, method_not_allowed
from labkit.local.objects import Obj, timestamp
from labkit.local.store import Store

Handler = Callable[[web.Request, ResourcePath], Awaitable[web.StreamResponse]]
Answer = Callable[[User, Obj, ResourcePath], Obj]
"""From who asks and the review's spec (to be completed in place): the status."""


class Reviews:
    """Each kind is a row of ``routes``."""

    def __init__(self, store: Store, rights: Rights, tokens: Tokens) -> None:
        self._store, self._rights, self._tokens = store, rights, tokens

    def routes(self) -> dict[tuple[str, str], Handler]:
        """Handlers by kind key and subresource, as the server wants them."""
        answers: dict[tuple[str, str], Answer] = {
            ("authentication", "SelfSubjectReview"): _who,
            ("authorization", "SelfSubjectAccessReview"): self._access,
            ("authorization", "SelfSubjectRulesReview"): self._rules,
        }
        found = {
            (f"{kind.lower()}s.{group}.k8s.io", ""): _handler(group, kind, a) for (group, kind), a in answers.items()
        }
        return found | {("serviceaccounts", "token"): _handler("authentication", "TokenRequest", self._token)}

    def _access(self, user: User, spec: Obj, _: ResourcePath) -> Obj:
        about, other = spec.get("resourceAttributes") or {}, spec.get("nonResourceAttributes") or {}
        if bool(about) == bool(other):
            why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            raise invalid("SelfSubjectAccessReview", "authorization.k8s.io", "", [Cause("spec", why)])
        resource = "/".join(part for part in (about.get("resource"), about.get("subresource")) if part)
        place = {key: about.get(key) or "" for key in ("group", "namespace", "name")}
        verb = (about or other).get("verb") or ""
        wanted = Attributes(verb, resource=resource, path=other.get("path") or "", **place)
        return {"allowed": self._rights.may(user, wanted)}

    def _rules(self, user: User, spec: Obj, _: ResourcePath) -> Obj:
        rules = self._rights.rules(user, spec.get("namespace") or "")
        resources = [rule for rule in rules if rule.get("resources")]
        others = [rule for rule in rules if rule.get("nonResourceURLs")]
        return {"resourceRules": resources, "nonResourceRules": others, "incomplete": False}

    def _token(self, _: User, spec: Obj, path: ResourcePath) -> Obj:
        account = self._store.require("serviceaccounts", path.namespace, path.name)
        spec["audiences"] = spec.get("audiences") or [ISSUER]
        if spec.get("expirationSeconds") is None:
            spec["expirationSeconds"] = 3600
        token, expires = self._tokens.issue(account, spec)
        return {"token": token, "expirationTimestamp": timestamp(datetime.fromtimestamp(expires, UTC))}


def _who(user: User, _: Obj, __: ResourcePath) -> Obj:
    about = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    return {"userInfo": {key: value for key, value in about.items() if value}}


def _handler(group: str, kind: str, answer: Answer) -> Handler:
    async def handle(request: web.Request, path: ResourcePath) -> web.StreamResponse:
        if request.method != "POST":
            raise method_not_allowed(request.method, f"{path.plural}/{path.subresource}".rstrip("/"))
        body = (await read(request)).value
        _, found = check(definitions()[f"io.k8s.api.{group}.v1.{kind}"], body)
        if body is None or found.wrong:
            raise bad_request(f"{kind} in version v1: {'; '.join(found.wrong) or 'there is no body'}")
        spec = body.get("spec") or {}
        metadata = {"name": path.name or None, "namespace": path.namespace or None, "creationTimestamp": None}
        about = {"kind": kind, "apiVersion": f"{group}.k8s.io/v1", "metadata": metadata}
        status = answer(request["caller"].user, spec, path)
        return web.json_response({**about, "spec": spec, "status": status}, status=201)

    return handle
