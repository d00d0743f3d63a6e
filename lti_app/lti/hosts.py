"""Where hosts are that somebody else names."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from lti_app.lti.outbound import OutboundRefused, Unreachable, origin_of


def open_addresses(url: str, *, private: bool) -> list[str]:
    """The addresses of the host of an https URL. Raises OutboundRefused unless all are on the open network, or
    `private` is said."""
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise Unreachable(f"the name of {origin_of(url) or url} is not known") from error
    addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
    if not private and not all(ipaddress.ip_address(address.split("%")[0]).is_global for address in addresses):
        raise OutboundRefused(
            f"{origin_of(url)} is in a private network; if that is right, set LABKIT_PRIVATE_PLATFORMS=true"
        )
    return addresses
