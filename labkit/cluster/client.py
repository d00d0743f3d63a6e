"""Requests to the Kubernetes API, of any kind of object that labkit makes, through the `kubernetes` client.

Objects are plain dictionaries as Kubernetes writes them. Every refusal becomes a ClusterError with the API's reason;
what is worth trying again is a ClusterUnavailable. No other part sees the `kubernetes` package.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import urllib3.exceptions
from kubernetes import client, config
from kubernetes.config import incluster_config

from labkit.cluster.paths import path_of
from labkit.cluster.refusals import refusal
from labkit.cluster.streams import StreamTarget, exec_target, pod_port_target, stream_target
from labkit.errors import ClusterError, ClusterUnavailable, SetupError
from labkit.settings import Settings

Object = dict[str, Any]

PUT_AWAY = "labkit-put-away"
"""The embedded engine's own verb: pause a machine, and keep its memory in a file."""
_SUBRESOURCES = "/apis/subresources.kubevirt.io/v1"
_QUOTA_SECONDS, _QUOTA_LOOK = 10.0, 0.05
"""A quota that was just made refuses everything until its controller has counted what there is (140 ms, measured)."""
_CONNECT_SECONDS = 5.0
_PAGE = 500
_NAMESPACE_FILE = Path(incluster_config.SERVICE_TOKEN_FILENAME).with_name("namespace")


def chosen(settings: Settings) -> Path | None:
    """The kubeconfig of the engine to use: the one that is set; None (the pod's service account) where there is one;
    else the embedded engine's. A `~/.kube/config` is never used unless it is set."""
    if uses_service_account(settings):
        return None
    return settings.kubeconfig or settings.engine_kubeconfig


def uses_service_account(settings: Settings) -> bool:
    """Whether this is a pod with an account at its cluster, and no kubeconfig is set (a Hub's pods have no account)."""
    return settings.kubeconfig is None and Path(incluster_config.SERVICE_TOKEN_FILENAME).exists()


def own_namespace() -> str:
    """Where labkit's own objects are: the namespace of its pod, `default` where it runs in none."""
    return _NAMESPACE_FILE.read_text().strip() if _NAMESPACE_FILE.exists() else "default"


class Cluster:
    """One engine, reached with a kubeconfig, or with the pod's own service account where `kubeconfig` is None.

    `silence` is how many seconds an answer may take. `permit` is asked before every request that changes something, and
    raises where it must not be sent.
    """

    def __init__(
        self, kubeconfig: Path | None, *, silence: float = 30.0, permit: Callable[[], None] = lambda: None
    ) -> None:
        self._kubeconfig = kubeconfig
        self.silence = silence
        self._permit = permit
        self._loaded: float | None = None
        self._api: client.ApiClient | None = None

    @property
    def api(self) -> client.ApiClient:
        """The client, made anew where the kubeconfig has changed (an engine that restarts writes it again).

        Raises ClusterUnavailable where there is none (yet), SetupError where it cannot be used.
        """
        stamp = self._stamp()
        if self._api is None or stamp != self._loaded:
            self._api, self._loaded = self._connect(), stamp
        return self._api

    def _stamp(self) -> float:
        try:
            return self._kubeconfig.stat().st_mtime if self._kubeconfig else 0.0
        except OSError as error:
            raise ClusterUnavailable(
                f"there is no kubeconfig at {self._kubeconfig}: start the embedded engine with `labkit engine up`, "
                "or set LABKIT_KUBECONFIG to your cluster's"
            ) from error

    def _connect(self) -> client.ApiClient:
        settings = client.Configuration()
        try:
            if self._kubeconfig is None:
                config.load_incluster_config(settings)
            else:
                config.load_kube_config(str(self._kubeconfig), client_configuration=settings)
        except config.ConfigException as error:
            raise SetupError(f"the kubeconfig {self._kubeconfig or 'of this pod'} cannot be used: {error}") from error
        settings.retries = 0
        return client.ApiClient(settings)

    # Objects

    def create(self, body: Object) -> Object:
        """Make an object. Raises ClusterError (409 AlreadyExists, 422 Invalid, 403 quota …)."""
        metadata = body["metadata"]
        path = path_of(body["kind"], metadata.get("namespace"))
        deadline = time.monotonic() + _QUOTA_SECONDS
        while True:
            try:
                return self._json("POST", path, body=body, query={"fieldValidation": "Strict"})
            except ClusterError as error:
                if "status unknown for quota" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_QUOTA_LOOK)

    def ensure(self, body: Object) -> Object:
        """Make an object, or find the one that is there already.

        A quota and webhooks are asked before anybody looks whether it is: so their refusals do not say that it is not.
        """
        metadata = body["metadata"]
        try:
            return self.create(body)
        except ClusterUnavailable:
            raise
        except ClusterError as error:
            found = self.get(body["kind"], metadata.get("namespace"), metadata["name"])
            if found is None and error.reason != "AlreadyExists":
                raise
        return found if found is not None else self.create(body)

    def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """The object, or None where there is none."""
        try:
            return self._json("GET", path_of(kind, namespace, name))
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def replace(self, body: Object) -> Object:
        """Write an object as a whole. Raises ClusterError (409) where it has changed since it was read."""
        metadata = body["metadata"]
        return self._json("PUT", path_of(body["kind"], metadata.get("namespace"), metadata["name"]), body=body)

    def pages(self, kind: str, labels: Mapping[str, str]) -> Iterator[tuple[list[Object], str]]:
        """All objects of a kind with these labels, some hundred at a time, each time with the list's revision."""
        query = {"labelSelector": _selector(labels), "limit": str(_PAGE)}
        while True:
            found = self._json("GET", path_of(kind), query=query)
            yield found.get("items", []), str(found["metadata"]["resourceVersion"])
            more = found["metadata"].get("continue")
            if not more:
                return
            query["continue"] = more

    def watch(self, kind: str, labels: Mapping[str, str], since: str) -> Iterator[tuple[str, Object]]:
        """What happens to the objects of a kind after a revision: (ADDED, MODIFIED, DELETED or BOOKMARK, the object).

        Ends by itself before the time of `silence` is over: that an engine has nothing to tell is told from its being
        gone. Raises ClusterError, of status 410 where the revision is too old to go on from.
        """
        query = {"labelSelector": _selector(labels), "watch": "true", "allowWatchBookmarks": "true"}
        query |= {"resourceVersion": since, "timeoutSeconds": str(max(1, int(self.silence * 0.8)))}
        response = self._call("GET", path_of(kind), query=query)
        try:
            for line in _lines(response.response.stream(2**16, decode_content=True)):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise refusal(int(event["object"].get("code") or 500), json.dumps(event["object"]).encode())
                yield event["type"], event["object"]
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise self._silent() from error
        finally:
            response.response.close()

    def select(self, kind: str, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> list[Object]:
        """The objects of a kind: of one namespace or all, with these labels."""
        query = {"labelSelector": _selector(labels)} if labels else {}
        items: list[Object] = self._json("GET", path_of(kind, namespace), query=query).get("items", [])
        return items

    def delete(self, kind: str, namespace: str | None, name: str, *, grace: int | None = None) -> bool:
        """Ask for an object's end, within `grace` seconds where that is said. False where there is none (any more)."""
        body: Object = {"propagationPolicy": "Background"} | ({} if grace is None else {"gracePeriodSeconds": grace})
        try:
            self._json("DELETE", path_of(kind, namespace, name), body=body)
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return True

    def merge(self, kind: str, namespace: str | None, name: str, change: Object) -> Object:
        """Change an object by a JSON merge patch. Raises ClusterError."""
        return self._json("PATCH", path_of(kind, namespace, name), body=change)

    # KubeVirt's subresources

    def act(self, namespace: str, machine: str, verb: str) -> None:
        """PUT a subresource of a machine: pause, unpause, softreboot, reset (they answer with an empty body).

        The embedded engine also knows `labkit-put-away`, where `keeps_memory` says so.
        """
        self._send("PUT", f"{_subresources(namespace)}/virtualmachineinstances/{machine}/{verb}", body={})

    def screenshot(self, namespace: str, machine: str) -> bytes:
        """A machine's screen as a PNG. Raises ClusterError."""
        path = f"{_subresources(namespace)}/virtualmachineinstances/{machine}/vnc/screenshot"
        return self._send("GET", path, accept="image/png")

    def keeps_memory(self) -> bool:
        """Whether the engine keeps memory, of machines that are put away and in snapshots: KubeVirt does not."""
        found = self._json("GET", _SUBRESOURCES)
        return any(item["name"] == f"virtualmachineinstances/{PUT_AWAY}" for item in found.get("resources", []))

    def stream_target(self, namespace: str, machine: str, subresource: str) -> StreamTarget:
        """Where and how to open one of a machine's streams (vnc, console, portforward/PORT)."""
        return stream_target(self.api, namespace, machine, subresource)

    def pod_port_target(self, namespace: str, pod: str, port: int) -> StreamTarget:
        """Where and how to open one of a pod's TCP ports."""
        return pod_port_target(self.api, namespace, pod, port)

    def exec_target(self, namespace: str, pod: str, command: Sequence[str]) -> StreamTarget:
        """Where and how to open a command with a terminal in a pod's one container."""
        return exec_target(self.api, namespace, pod, command, tty=True)

    def identity(self) -> str:
        """What tells this engine from every other: the uid of the namespace that each has from its beginning."""
        found = self.get("Namespace", None, "default")
        if found is None:
            raise ClusterError("the engine has no namespace 'default'")
        return str(found["metadata"]["uid"])

    def warm(self, body: Object | None = None) -> Object:
        """What is warm in the embedded engine, or (with a body) is to be: see docs/reference/engine-warm.md.

        A cluster refuses it (ClusterError, 404).
        """
        return self._json("GET" if body is None else "POST", "/labkit/warm", body=body)

    def version(self) -> str:
        """The engine's own version, as it says it."""
        return str(self._json("GET", "/version").get("gitVersion", "unknown"))

    # Transport

    def _json(self, method: str, path: str, *, body: object = None, query: Mapping[str, str] | None = None) -> Object:
        found = json.loads(self._send(method, path, body=body, query=query))
        return found if isinstance(found, dict) else {}

    def _send(self, method: str, path: str, **asked: Any) -> bytes:
        """All of the answer. `asked`: as in `_call`."""
        response = self._call(method, path, **asked)
        try:
            return response.read() or b""
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._silent() from error

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
    ) -> Any:
        """The answer, of which nothing has been read yet. Raises what `refusal` makes of one that is none."""
        if method != "GET":
            self._permit()
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json" if method == "PATCH" else "application/json"
        api = self.api
        request = api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = api.call_api(*request, _request_timeout=(_CONNECT_SECONDS, self.silence))
            if response.status < 400:
                return response
            error: ClusterError = refusal(
                response.status, response.read() or b"", wait=response.getheader("Retry-After")
            )
        except (urllib3.exceptions.HTTPError, OSError) as fault:
            error = self._silent()
            error.__cause__ = fault
        if isinstance(error, ClusterUnavailable):
            error.request = f"{method} {path}"
        raise error

    def _silent(self) -> ClusterUnavailable:
        where = self._api.configuration.host if self._api else self._kubeconfig
        return ClusterUnavailable(f"the engine at {where} does not answer")


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole


def _subresources(namespace: str) -> str:
    return f"{_SUBRESOURCES}/namespaces/{namespace}"
