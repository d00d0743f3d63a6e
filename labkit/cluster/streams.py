"""Where and how to open one of a machine's streams (a VM's vnc, console, portforward/PORT; a pod's exec, portforward).

The `kubernetes` client's own stream helper speaks only Kubernetes' channel protocols; KubeVirt's streams are plain
bytes in WebSocket messages, so they are opened by others (`labkit.gateway`, `labkit.cluster.portforward`) with what
this module says.
"""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from kubernetes import client

PROTOCOL = "plain.kubevirt.io"
"""The one WebSocket subprotocol of KubeVirt's streams."""
CHANNELS = "v4.channel.k8s.io"
"""Kubernetes' subprotocol of a pod's ports: a message's first byte names its channel."""
CHANNELS_THAT_END = "v5.channel.k8s.io"
"""The same with a message that ends a channel (255, then its number), which exec needs for the end of input."""

_USER_AGENT = "labkit"


@dataclass(frozen=True)
class StreamTarget:
    """One stream, to be opened now: `headers` hold a token that may have expired by tomorrow, so ask again each time.

    `url` is ws:// or wss://; `tls` is None for ws://. `server_hostname` is the name to check the engine's certificate
    against where it is not the URL's. `protocols` are the subprotocols to offer, the best first.
    """

    url: str
    tls: ssl.SSLContext | None
    headers: dict[str, str] = field(repr=False)
    server_hostname: str | None = None
    protocols: tuple[str, ...] = (PROTOCOL,)


def stream_target(api: client.ApiClient, namespace: str, vmi: str, subresource: str) -> StreamTarget:
    """The target of `subresource` ("vnc", "console", "portforward/22") of the machine `vmi`.

    Asks nothing of the engine. Reads the client's certificates anew where their files were renewed.
    """
    path = _path(namespace, "virtualmachineinstances", vmi)
    return _target(api, f"/apis/subresources.kubevirt.io/v1/{path}/{quote(subresource)}", (PROTOCOL,))


def pod_port_target(api: client.ApiClient, namespace: str, pod: str, port: int) -> StreamTarget:
    """The target of the TCP port `port` of a pod. Asks nothing of the engine."""
    return _target(api, f"/api/v1/{_path(namespace, 'pods', pod)}/portforward?ports={port}", (CHANNELS,))


def exec_target(
    api: client.ApiClient, namespace: str, pod: str, command: Sequence[str], *, tty: bool = False
) -> StreamTarget:
    """The target of a command in a pod of one container: with input and both outputs, or (`tty`) with a terminal, where
    both are one. Asks nothing of the engine."""
    output = "tty" if tty else "stderr"
    query = urlencode(
        [("stdin", "true"), ("stdout", "true"), (output, "true"), *(("command", word) for word in command)]
    )
    return _target(api, f"/api/v1/{_path(namespace, 'pods', pod)}/exec?{query}", (CHANNELS_THAT_END, CHANNELS))


def _path(namespace: str, plural: str, name: str) -> str:
    return "/".join(quote(part, safe="") for part in ("namespaces", namespace, plural, name))


def _target(api: client.ApiClient, path: str, protocols: tuple[str, ...]) -> StreamTarget:
    settings = api.configuration
    url = f"ws{settings.host.removeprefix('http').rstrip('/')}{path}"
    tls = _tls(settings) if url.startswith("wss:") else None
    return StreamTarget(url, tls, _headers(api), settings.tls_server_name or None, protocols)


def _headers(api: client.ApiClient) -> dict[str, str]:
    headers = {"User-Agent": _USER_AGENT}
    # auth_settings() runs the hook that renews a token, and leaves out a token that is not there.
    for setting in api.configuration.auth_settings().values():
        if setting["in"] == "header" and setting["value"]:
            headers[setting["key"].title()] = setting["value"]
    return headers


def _tls(settings: client.Configuration) -> ssl.SSLContext:
    """The context for these settings. Made once for the same ones: reading a system's authorities takes 20 ms."""
    files = (settings.ssl_ca_cert, settings.cert_file, settings.key_file)
    stamps = tuple((file, os.stat(file).st_mtime_ns, os.stat(file).st_ino) if file else None for file in files)
    return _context(stamps, settings.ca_cert_data or None, settings.verify_ssl, settings.assert_hostname is not False)


@functools.lru_cache(maxsize=4)
def _context(
    files: tuple[tuple[str, int, int] | None, ...], authorities: str | None, verified: bool, named: bool
) -> ssl.SSLContext:
    authority, certificate, key = (file[0] if file else None for file in files)
    context = ssl.create_default_context(cafile=authority, cadata=authorities)
    if certificate:
        context.load_cert_chain(certificate, key)
    if not (verified and named):
        context.check_hostname = False
    if not verified:
        context.verify_mode = ssl.CERT_NONE
    return context
