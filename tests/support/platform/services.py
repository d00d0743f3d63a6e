"""The platform's services: tokens, line items, scores, results, memberships. Each as Moodle 4.5.6 answers them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import jwt

from tests.support.platform.course import Course, Grade, LineItem, Site, whole_second

AGS = "https://purl.imsglobal.org/spec/lti-ags/scope/"
NRPS = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"
SCOPES = (*(AGS + name for name in ("lineitem", "lineitem.readonly", "result.readonly", "score")), NRPS)
SCORE_TYPE = "application/vnd.ims.lis.v1.score+json"
_BASE = "/mod/lti/services.php"


@dataclass(frozen=True)
class Request:
    """One HTTP request; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int = 200
    body: str = ""
    type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def told(value: object, status: int = 200, type: str = "application/json", **headers: str) -> Answer:
    """A JSON answer."""
    return Answer(status, json.dumps(value), type, headers)


class Services:
    """What a tool can ask for with a token. `verify` gives the claims of a JWT that the tool has signed."""

    def __init__(self, site: Site, verify: Callable[[str], dict[str, Any]], now: Callable[[], float]) -> None:
        self._site, self._verify, self._now = site, verify, now
        self.origin, self.client, self.page = "", "", 0
        self.tokens: dict[str, tuple[frozenset[str], float]] = {}
        self.issued = 0

    def token(self, request: Request) -> Answer:
        """token.php: a signed assertion for a token; the part of the scopes that is known."""
        form = request.form
        try:
            claims = self._verify(form["client_assertion"])
        except (KeyError, jwt.PyJWTError) as error:
            return told({"error": "invalid_client", "why": str(error)}, 400)
        if claims.get("sub") != self.client or form.get("grant_type") != "client_credentials":
            return told({"error": "invalid_client"}, 400)
        granted = frozenset(form.get("scope", "").split()) & set(SCOPES)
        if not granted:
            return told({"error": "invalid_scope"}, 400)
        token, self.issued = secrets.token_hex(16), self.issued + 1
        self.tokens[token] = (granted, self._now() + 3600)
        scope = " ".join(sorted(granted))
        return told({"access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": scope})

    def serve(self, request: Request) -> Answer:
        """Whatever lies below services.php."""
        parts = request.path.removeprefix(_BASE).strip("/").split("/")
        match parts:
            case ["CourseSection", course, "bindings", _, "memberships"]:
                found = self._course(request, course, NRPS)
                return found if isinstance(found, Answer) else self._members(request, found)
            case [course, "lineitems"]:
                found = self._course(request, course, AGS + "lineitem", AGS + "lineitem.readonly")
                return found if isinstance(found, Answer) else self._items(request, found)
            case [course, "lineitems", item, "lineitem"]:
                return self._item(request, course, item, self._one, AGS + "lineitem", AGS + "lineitem.readonly")
            case [course, "lineitems", item, "lineitem", "scores"]:
                return self._item(request, course, item, self._score, AGS + "score")
            case [course, "lineitems", item, "lineitem", "results"]:
                return self._item(request, course, item, self._results, AGS + "result.readonly")
        return told([], 404)

    def _course(self, request: Request, course: str, *scopes: str) -> Course | Answer:
        granted, until = self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "), ((), 0.0))
        if until < self._now() or not set(scopes) & set(granted):
            return told([], 401)
        return self._site.courses.get(course) or told([], 404)

    def _item(
        self,
        request: Request,
        course: str,
        item: str,
        then: Callable[[Request, Course, LineItem], Answer],
        *scopes: str,
    ) -> Answer:
        found = self._course(request, course, *scopes)
        if isinstance(found, Answer):
            return found
        return then(request, found, found.items[item]) if item in found.items else told([], 404)

    def url(self, course: str, item: str = "") -> str:
        """A line item's address, or that of all."""
        tail = f"/{item}/lineitem" if item else ""
        return f"{self.origin}{_BASE}/{course}/lineitems{tail}?type_id=1"

    def _body(self, course: Course, item: LineItem) -> dict[str, Any]:
        body = {"id": self.url(course.id, item.id), "label": item.label, "scoreMaximum": item.maximum, **item.more}
        return {**body, "resourceLinkId": item.link} if item.link else body

    def _items(self, request: Request, course: Course) -> Answer:
        if request.method == "POST":
            body = json.loads(request.body)
            more = {name: body[name] for name in ("tag", "resourceId") if name in body}
            link = str(body.get("resourceLinkId", ""))
            made = self._site.item(course.id, body["label"], body["scoreMaximum"], link=link, **more)
            return told(self._body(course, made), 201, "application/vnd.ims.lis.v2.lineitem+json")
        wanted = {"tag": "tag", "resource_id": "resourceId", "resource_link_id": "resourceLinkId"}
        bodies = [self._body(course, item) for item in course.items.values()]
        for query, name in wanted.items():
            if query in request.query:
                bodies = [body for body in bodies if body.get(name) == request.query[query]]
        return told(bodies, 200, "application/vnd.ims.lis.v2.lineitemcontainer+json")

    def _one(self, request: Request, course: Course, item: LineItem) -> Answer:
        if request.method == "DELETE":
            del course.items[item.id]
            return Answer(204)
        if request.method == "PUT":
            body = json.loads(request.body)
            item.label, item.maximum = body["label"], body["scoreMaximum"]
        return told(self._body(course, item), 200, "application/vnd.ims.lis.v2.lineitem+json")

    def _score(self, request: Request, course: Course, item: LineItem) -> Answer:
        if request.headers.get("content-type", "").split(";")[0] != SCORE_TYPE:
            return told({"status": 400, "reason": "No handler found"}, 400)
        score = json.loads(request.body)
        user, time = str(score.get("userId", "")), whole_second(score.get("timestamp"))
        if user and not user.isdigit():
            return Answer(502, "<html>Bad Gateway</html>", "text/html")
        if time is None or "activityProgress" not in score or "gradingProgress" not in score:
            return told({"status": 400, "reason": "Incorrect score received"}, 400)
        if user not in course.learners or ("scoreGiven" in score and "scoreMaximum" not in score):
            return told({"status": 400, "reason": "Invalid user or score"}, 400)
        old = item.grades.get(user)
        if old is not None and time <= old.time:
            return told({"status": 409, "reason": "Refusing score with an earlier timestamp"}, 409)
        item.comments[user] = str(score.get("comment", ""))
        if score["gradingProgress"] != "FullyGraded" or "scoreGiven" not in score:
            item.grades.pop(user, None)
            return Answer()
        given, most = float(score["scoreGiven"]), float(score["scoreMaximum"])
        raw = given * item.maximum / most if most else given
        item.grades[user] = Grade(raw, time, old.override if old else None)
        item.taken.append((user, raw, time))
        return Answer()

    def _results(self, request: Request, course: Course, item: LineItem) -> Answer:
        users = [request.query["user_id"]] if "user_id" in request.query else list(item.grades)
        address = self.url(course.id, item.id).replace("?", "/results?")
        found = [
            {
                "id": f"{address}&user_id={user}",
                "userId": user,
                "resultScore": shown,
                "resultMaximum": item.maximum,
                "comment": item.comments.get(user, ""),
                "scoreOf": self.url(course.id, item.id),
            }
            for user in users
            if (shown := item.shown(user)) is not None
        ]
        first, size = int(request.query.get("from", 0)), self.page or len(found)
        headers = {}
        if first + size < len(found):
            headers["Link"] = f'<{address}&limit={size}&from={first + size}>; rel="next"'
        return told(found[first : first + size], 200, "application/vnd.ims.lis.v2.resultcontainer+json", **headers)

    def _members(self, request: Request, course: Course) -> Answer:
        """Moodle names roles by bare words here; a page has as many members as asked for, or as `page` says."""
        everybody = [(user, "Instructor") for user in course.teachers] + [(user, "Learner") for user in course.learners]
        wanted = request.query.get("role", "").rpartition("#")[2]
        everybody = [one for one in everybody if not wanted or one[1] == wanted]
        size, first = int(request.query.get("limit", self.page)) or len(everybody), int(request.query.get("from", 0))
        people = [(self._site.people[user], role) for user, role in everybody[first : first + size]]
        members = [
            {
                "status": "Active",
                "roles": [role],
                "user_id": person.id,
                "name": person.name,
                "given_name": person.given,
                "family_name": person.family,
                "email": person.email,
            }
            for person, role in people
        ]
        address = f"{self.origin}{request.path}"
        headers = {}
        if first + size < len(everybody):
            headers["Link"] = f'<{address}?limit={size}&from={first + size}>; rel="next"'
        body = {"id": address, "context": {"id": course.id, "label": course.label, "title": course.title}}
        kind = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
        return Answer(200, json.dumps({**body, "members": members}), kind, headers)
