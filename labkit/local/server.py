"""HTTP: who may ask, what is asked, and the answer's form. All meaning is in ``api`` and ``kubevirt``."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiohttp import web

from labkit.local.api import discovery, openapi, status
from labkit.local.api.columns import table
from labkit.local.api.kinds import Kind
from labkit.local.api.paths import ResourcePath, parse
from labkit.local.api.resources import Answer, Call, Resources
from labkit.local.api.watches import Watch, follow
from labkit.local.kubevirt.subresources import Subresources
from labkit.local.objects import Obj
from labkit.local.qemu.machine import MachineError
from labkit.local.store import Store

log = logging.getLogger(__name__)

_OPEN_PATHS = ("/version", "/healthz", "/livez", "/readyz")
_BODY_LIMIT = 3 * 2**20
_TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io."  # noqa: S105 - the name of a protocol
_WATCH_SECONDS = 1800

Handler = Callable[[web.Request, ResourcePath], Awaitable[web.StreamResponse]]
Routes = Mapping[tuple[str, str], Handler]
"""What is more than a verb on a stored object: by kind key and subresource (``pods``, ``log``), or by a kind key and
nothing for a kind that is answered instead of stored (reviews)."""


class Server:
    """The one handler of the whole API."""

    def __init__(self, store: Store, subresources: Subresources, token: str, routes: Routes) -> None:
        self._store = store
        self._resources = Resources(store)
        self._subresources = subresources
        self._token = token
        self._routes = routes
        self._kinds = tuple(served for kind in store.kinds.values() for served in kind.served())
        self._discovery = discovery.Discovery(self._kinds, subresources.names())
        self._by_path = {(kind.group, kind.version, kind.plural): kind for kind in self._kinds}

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except status.ApiError as error:
            if error.plain:
                return web.Response(status=error.code, text=error.message)
            return web.json_response(error.body(), status=error.code)
        except MachineError as error:
            return web.json_response(status.internal_error(str(error)).body(), status=500)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            what = f"{request.method} {request.path}"
            failed = status.internal_error(f"the embedded engine failed at {what}; its log says more")
            return web.json_response(failed.body(), status=500)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path not in _OPEN_PATHS and not self._authorised(request):
            raise status.unauthorized()
        if (path := parse(request.path)) is None:
            return self._document(request)
        if path.group == discovery.SUBRESOURCES and path.version in discovery.SUBRESOURCE_VERSIONS:
            return await self._kubevirt(request, path)
        kind = self._by_path.get((path.group, path.version, path.plural))
        if kind is None or bool(path.namespace) > kind.namespaced:
            raise status.no_such_path(f"the resource {request.path}")
        return await self._resource(request, path, kind)

    # Who

    def _authorised(self, request: web.Request) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and given:
            return hmac.compare_digest(given.strip().encode(), self._token.encode())
        return any(hmac.compare_digest(found, self._token.encode()) for found in _protocol_tokens(request))

    # Documents

    def _document(self, request: web.Request) -> web.Response:
        path, accept = request.path.rstrip("/"), request.headers.get("Accept", "").replace(" ", "")
        if path in _OPEN_PATHS and path != "/version":
            return web.Response(text=f"[+]ping ok\n{path[1:]} check passed\n" if "verbose" in request.query else "ok")
        aggregated = path in ("/api", "/apis") and discovery.AGGREGATED in accept
        form = discovery.AGGREGATED if aggregated else "application/json"
        if path == "/openapi/v2" and "protobuf" in accept:
            form = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
            body = openapi.v2_protobuf(self._kinds)
        elif (found := self._discovery.document(path, aggregated)) is not None:
            body = json.dumps(found).encode()
        else:
            raise status.no_such_path(f"the path {request.path}")
        headers = {"Content-Type": form, "ETag": f'"{openapi.digest(body)}"', "Vary": "Accept"}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, headers=headers)

    async def _kubevirt(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        if not path.namespace and path.plural == "version":
            return web.json_response(discovery.VERSION)
        if not path.namespace and path.plural == "healthz":
            return web.json_response({"apiserver": {"connectivity": "ok"}})
        return await self._subresources.answer(request, path)

    # Resources

    async def _resource(self, request: web.Request, path: ResourcePath, kind: Kind) -> web.StreamResponse:
        if handler := self._routes.get((kind.key, path.subresource.partition("/")[0])):
            return await handler(request, path)
        if path.subresource and not (path.subresource == "status" and kind.status_route):
            raise status.no_such_path(f"the subresource {kind.key}/{path.subresource}")
        verb = _verb(request, path)
        if verb not in kind.verbs:
            raise status.method_not_allowed(request.method, kind.key)
        body, media_type = await _body(request)
        call = Call(kind, path.namespace, path.name, dict(request.query.items()), body, media_type, path.subresource)
        if kind.namespaced and not path.namespace and verb not in ("list", "watch"):
            raise status.method_not_allowed(request.method, f"{kind.key} without a namespace")
        if verb == "watch":
            return await self._watch(request, call)
        verbs = {
            "get": self._resources.get,
            "list": self._resources.list_all,
            "create": self._resources.create,
            "update": self._resources.update,
            "patch": self._resources.patch,
            "delete": self._resources.delete,
            "deletecollection": self._resources.delete_all,
        }
        return self._shaped(request, kind, verbs[verb](call))

    def _shaped(self, request: web.Request, kind: Kind, answer: Answer) -> web.Response:
        document = kind.versioned(answer.document)
        if _wants_table(request):
            objects = document["items"] if document["kind"] == f"{kind.kind}List" else [document]
            if document["kind"] != "Status":
                include = request.query.get("includeObject", "Metadata")
                document = table(kind.columns, objects, document["metadata"], include)
        response = web.json_response(document, status=answer.code)
        for warning in answer.warnings:
            response.headers.add("Warning", f'299 - "{warning.replace(chr(34), chr(39))}"')
        return response

    async def _watch(self, request: web.Request, call: Call) -> web.StreamResponse:
        query, kind = call.query, call.kind
        if call.name:
            raise status.bad_request("watch a collection with fieldSelector=metadata.name=… instead of one object")
        since = query.get("resourceVersion", "")
        initial = query.get("sendInitialEvents") == "true"
        watch = Watch(
            kind=kind.key,
            namespace=call.namespace,
            matches=call.matcher(),
            since=None if initial or since in ("", "0") else _number("resourceVersion", since),
            bookmarks=query.get("allowWatchBookmarks") in ("true", "1"),
            mark_initial=initial,
            timeout=_number("timeoutSeconds", query.get("timeoutSeconds", str(_WATCH_SECONDS))),
        )
        if watch.since is not None:
            self._store.changes_since(watch.since)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        as_table = _wants_table(request)
        try:
            async for batch in follow(self._store, watch, kind.api_version, kind.kind):
                if request.transport is None or request.transport.is_closing():
                    break
                for event, obj in batch:
                    await response.write(_line(event, obj, kind, request if as_table else None))
            await response.write_eof()
        except ConnectionError:
            pass  # The client has gone, which is how most watches end.
        return response


def _line(event: str, obj: Obj, kind: Kind, tabled: web.Request | None) -> bytes:
    obj = kind.versioned(obj)
    if tabled is not None and event not in ("ERROR", "BOOKMARK"):
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        obj = table(kind.columns, [obj], metadata, tabled.query.get("includeObject", "Metadata"))
    return json.dumps({"type": event, "object": obj}).encode() + b"\n"


def _protocol_tokens(request: web.Request) -> Iterable[bytes]:
    """Tokens offered as a WebSocket subprotocol, which is all that a browser can set."""
    for protocol in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        coded = protocol.strip().removeprefix(_TOKEN_PROTOCOL)
        if coded != protocol.strip():
            try:
                yield base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4))
            except (binascii.Error, ValueError):
                continue


def _verb(request: web.Request, path: ResourcePath) -> str:
    one = bool(path.name)
    if request.method in ("GET", "HEAD"):
        if request.query.get("watch") in ("true", "1"):
            return "watch"
        return "get" if one else "list"
    verbs = {
        ("POST", False): "create",
        ("PUT", True): "update",
        ("PATCH", True): "patch",
        ("DELETE", True): "delete",
        ("DELETE", False): "deletecollection",
    }
    return verbs.get((request.method, one), "")


async def _body(request: web.Request) -> tuple[object, str]:
    raw = await request.read()
    if not raw:
        return None, "application/json"
    media_type = request.content_type if "Content-Type" in request.headers else "application/json"
    if not media_type.endswith("json"):
        raise status.unsupported_media_type(media_type, ["application/json"])
    try:
        return json.loads(raw), media_type
    except ValueError as error:
        raise status.bad_request(f"the body is not JSON: {error}") from error


def _wants_table(request: web.Request) -> bool:
    kinds = request.headers.get("Accept", "").replace(" ", "").split(",")
    return any({"as=Table", "v=v1"} <= set(kind.split(";")) for kind in kinds)


def _number(name: str, text: str) -> int:
    if not text.isdigit():
        raise status.bad_request(f"{name} '{text}' is not a number")
    return int(text)
