"""The embedded engine: one machine's Kubernetes and KubeVirt API, running real QEMU processes.

Reached over HTTP only (``python -m labkit.local``); it imports nothing of labkit outside this package, and
nothing of labkit imports it, apart from the list of Debian packages below.
"""

DEBIAN_PACKAGES: tuple[str, ...] = (
    "qemu-system-x86",
    "qemu-utils",
    "seabios",
    "dnsmasq-base",
    "iproute2",
    "util-linux",
    "skopeo",
    "xz-utils",
    "nftables",
    "slirp4netns",
    "bubblewrap",
)
"""Debian packages that the engine needs at run time; ``qemu-system-gui`` is not one of them."""

__all__ = ["DEBIAN_PACKAGES"]
