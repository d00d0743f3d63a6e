"""HTTP: who may ask, what is asked, and the answer's form. All meaning is in ``api`` and ``kubevirt``.

A request's path: what it means (``api.paths``), which rights that takes (``access.requests``), whether its sender has
them (``access.guard``), its body (``api.bodies``), its verb (``api.resources``, which checks and admits), the store,
the disk; then the answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from labkit.local.access.guard import Guard
from labkit.local.access.requests import needed
from labkit.local.api import discovery, openapi, status
from labkit.local.api.bodies import read
from labkit.local.api.calls import Call
from labkit.local.api.columns import table
from labkit.local.api.kinds import STATUS_VERBS, Kind
from labkit.local.api.paths import ResourcePath, parse
from labkit.local.api.resources import Resources
from labkit.local.api.watches import Event, Watch, follow
from labkit.local.kubevirt.subresources import Subresources
from labkit.local.objects import Obj
from labkit.local.qemu.machine import MachineError
from labkit.local.store import Store

log = logging.getLogger(__name__)

_OPEN_PATHS = ("/version", "/healthz", "/livez", "/readyz")
_BODY_LIMIT = 3 * 2**20
_WATCH_SECONDS = 1800
_GRACE_SECONDS = 30
_YES = ("true", "1")

Handler = Callable[[web.Request, ResourcePath], Awaitable[web.StreamResponse]]
Routes = Mapping[tuple[str, str], Handler]
"""What is more than a verb on a stored object: by kind key and subresource (``pods``, ``log``), or by a kind key and
nothing for a kind that is answered instead of stored (reviews)."""


class Server:
    """The one handler of the whole API."""

    def __init__(self, store: Store, subresources: Subresources, guard: Guard, routes: Routes) -> None:
        self._store = store
        self._resources = Resources(store)
        self._subresources = subresources
        self._guard = guard
        self._routes = routes
        self._kinds = tuple(store.kinds.values())
        self._discovery = discovery.Discovery(self._kinds, subresources.names())
        self._by_path = {(kind.group, kind.version, kind.plural): kind for kind in self._kinds}

    def application(self) -> web.Application:
        """The aiohttp application."""
        logging.getLogger("aiohttp.server").addFilter(_in_one_line)
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            response = await self._answer(request)
            if not response.prepared:
                await self._store.settled(writing=request.method not in ("GET", "HEAD"))
            return response
        except status.ApiError as error:
            await self._store.settled()  # What it says of other objects (a 409, a 404) is to hold after a crash too.
            if error.plain:
                return web.Response(status=error.code, text=error.message)
            return web.json_response(error.body(), status=error.code)
        except MachineError as error:
            return web.json_response(status.internal_error(str(error)).body(), status=500)
        except web.HTTPRequestEntityTooLarge:
            return web.json_response(status.too_much(_BODY_LIMIT).body(), status=413)
        except web.RequestPayloadError as error:
            return web.json_response(status.bad_request(f"the body cannot be read: {error}").body(), status=400)
        except ConnectionError:
            return web.Response(status=400)  # Nobody is there to read it.
        except web.HTTPException:
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            what = f"{request.method} {request.path}"
            failed = status.internal_error(f"the embedded engine failed at {what}; its log says more")
            return web.json_response(failed.body(), status=500)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = parse(request.rel_url.raw_path)
        wanted = needed(request.method, request.path, path, dict(request.query.items()))
        if request.path not in _OPEN_PATHS:
            request["caller"] = self._guard.admit(request.headers, wanted)
        if path is None:
            return self._document(request)
        if path.group == discovery.SUBRESOURCES and path.version in discovery.SUBRESOURCE_VERSIONS:
            return await self._kubevirt(request, path)
        kind = self._by_path.get((path.group, path.version, path.plural))
        if kind is None or bool(path.namespace) > kind.namespaced:
            raise status.no_such_path(f"the resource {request.path}")
        return await self._resource(request, path, kind, wanted[0].verb)

    # Documents

    def _document(self, request: web.Request) -> web.Response:
        path, accept = request.path.rstrip("/"), request.headers.get("Accept", "").replace(" ", "")
        if path in _OPEN_PATHS and path != "/version":
            return web.Response(text=f"[+]ping ok\n{path[1:]} check passed\n" if "verbose" in request.query else "ok")
        form = "application/json"
        body = self._discovery.encoded(path)
        if path == "/openapi/v2" and "protobuf" in accept:
            form = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
            body = openapi.V2_PROTOBUF
        if body is None:
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

    async def _resource(self, request: web.Request, path: ResourcePath, kind: Kind, verb: str) -> web.StreamResponse:
        if handler := self._routes.get((kind.key, path.subresource.partition("/")[0])):
            return await handler(request, path)
        if path.subresource and not (path.subresource == "status" and kind.status_route):
            raise status.no_such_path(f"the subresource {kind.key}/{path.subresource}")
        allowed = STATUS_VERBS if path.subresource else kind.verbs
        if verb not in allowed or bool(path.name) != (verb in ("get", "update", "patch", "delete")):
            raise status.method_not_allowed(request.method, f"{kind.key}/{path.subresource}".rstrip("/"))
        body = await read(request)
        call = Call(
            kind, path.namespace, path.name, dict(request.query.items()), body.value, body.media_type,
            path.subresource, body.duplicates, request["caller"],
            request.headers.get("User-Agent", "").partition("/")[0] or "unknown",
        )  # fmt: skip
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
        return self._shaped(request, call, *verbs[verb](call))

    def _shaped(self, request: web.Request, call: Call, code: int, document: Obj) -> web.Response:
        kind = call.kind
        if _wants_table(request):
            objects = document["items"] if document["kind"] == f"{kind.kind}List" else [document]
            if document["kind"] != "Status":
                include = request.query.get("includeObject", "Metadata")
                document = table(kind.columns, objects, document["metadata"], include)
        response = web.json_response(text=self._text(kind, document), status=code)
        for warning in call.said:
            response.headers.add("Warning", f"299 - {json.dumps(warning)}")
        return response

    def _text(self, kind: Kind, document: Obj) -> str:
        """A document as JSON, put together from what was encoded when it was stored."""
        if document["kind"] != f"{kind.kind}List":
            return self._store.encoded(kind.key, document)
        items = ",".join(self._store.encoded(kind.key, obj) for obj in document["items"])
        return f"{json.dumps(document | {'items': []})[:-2]}{items}]}}"

    async def _watch(self, request: web.Request, call: Call) -> web.StreamResponse:
        watch = _asked(self._store, call)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        tabled = request.query.get("includeObject", "Metadata") if _wants_table(request) else None
        try:
            # A client that takes nothing for long is cut off; it holds up nobody else until then.
            async with asyncio.timeout(watch.timeout + _GRACE_SECONDS):
                async for batch in follow(self._store, watch):
                    if request.transport is None or request.transport.is_closing():
                        break
                    for event in batch:
                        await response.write(_line(event, watch.kind, tabled))
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # The client has gone, which is how most watches end.
        return response


def _asked(store: Store, call: Call) -> Watch:
    """The watch that a request asks for."""
    query, bookmarks = call.query, call.query.get("allowWatchBookmarks") in _YES
    initial, rule = query.get("sendInitialEvents"), query.get("resourceVersionMatch")
    if (initial in _YES and rule != "NotOlderThan") or (initial not in _YES and rule):
        why = "sendInitialEvents and resourceVersionMatch=NotOlderThan must be given together in a watch"
        raise status.bad_option("resourceVersionMatch", why)
    since = store.reached(call.number("resourceVersion"))
    return Watch(
        kind=call.kind,
        namespace=call.namespace,
        matches=call.matcher(),
        since=None if initial in _YES or (not since and initial is None) else since or store.revision,
        bookmarks=bookmarks,
        mark_initial=bookmarks and initial in _YES,
        timeout=call.number("timeoutSeconds", _WATCH_SECONDS) or _WATCH_SECONDS,
    )


def _line(event: Event, kind: Kind, tabled: str | None) -> bytes:
    text = event.text
    if tabled is not None and event.type not in ("ERROR", "BOOKMARK"):
        metadata = {"resourceVersion": event.obj["metadata"]["resourceVersion"]}
        text = json.dumps(table(kind.columns, [event.obj], metadata, tabled))
    return f'{{"type":"{event.type}","object":{text}}}\n'.encode()


def _in_one_line(record: logging.LogRecord) -> bool:
    """A request that is no HTTP is its sender's fault: no traceback of ours, and none of its bytes (a token's?)."""
    if record.exc_info and record.exc_info[0]:
        record.msg, record.args = f"{record.getMessage()}: {record.exc_info[0].__name__}", ()
        record.exc_info = None
    return True


def _wants_table(request: web.Request) -> bool:
    kinds = request.headers.get("Accept", "").replace(" ", "").split(",")
    return any({"as=Table", "v=v1"} <= set(kind.split(";")) for kind in kinds)
