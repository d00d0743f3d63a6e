"""Where and how to open one of a machine's streams (vnc, console, portforward/PORT).

The `kubernetes` client's own stream helper speaks only Kubernetes' channel protocols; KubeVirt's streams are plain
bytes in WebSocket messages, so they are opened by others (`labkit.gateway`, `labkit.cluster.portforward`) with what
this module says.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import quote

from kubernetes import client

PROTOCOL = "plain.kubevirt.io"
"""The one WebSocket subprotocol of KubeVirt's streams."""

_USER_AGENT = "labkit"


@dataclass(frozen=True)
class StreamTarget:
    """One stream, to be opened now: `headers` hold a token that may have expired by tomorrow, so ask again each time.

    `url` is ws:// or wss://; `tls` is None for ws://. `server_hostname` is the name to check the engine's certificate
    against where it is not the URL's.
    """

    url: str
    tls: ssl.SSLContext | None
    headers: dict[str, str] = field(repr=False)
    server_hostname: str | None = None


def stream_target(api: client.ApiClient, namespace: str, vmi: str, subresource: str) -> StreamTarget:
    """The target of `subresource` ("vnc", "console", "portforward/22") of the machine `vmi`.

    Asks nothing of the engine. Reads the client's certificates from their files each time, as they are renewed there.
    """
    settings = api.configuration
    path = "/".join(quote(part, safe="") for part in ("namespaces", namespace, "virtualmachineinstances", vmi))
    base = "ws" + settings.host.removeprefix("http").rstrip("/")
    url = f"{base}/apis/subresources.kubevirt.io/v1/{path}/{quote(subresource)}"
    tls = _tls(settings) if url.startswith("wss:") else None
    return StreamTarget(url, tls, _headers(api), settings.tls_server_name or None)


def _headers(api: client.ApiClient) -> dict[str, str]:
    headers = {"User-Agent": _USER_AGENT}
    # auth_settings() runs the hook that renews a token, and leaves out a token that is not there.
    for setting in api.configuration.auth_settings().values():
        if setting["in"] == "header" and setting["value"]:
            headers[setting["key"].title()] = setting["value"]
    return headers


def _tls(settings: client.Configuration) -> ssl.SSLContext:
    authorities = settings.ca_cert_data
    context = ssl.create_default_context(cafile=settings.ssl_ca_cert, cadata=authorities or None)
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    if not settings.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.assert_hostname is False:
        context.check_hostname = False
    return context
