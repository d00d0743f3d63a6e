"""dnsmasq's command line and files. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

BINARY = "dnsmasq"
BRIDGE = "br0"


def command(directory: Path, *, address: str, search: Sequence[str], root: bool) -> list[str]:
    """DHCP (known machines only, fixed addresses) and DNS (the segment's own names only) on the bridge.

    It ends with the holder. As root it keeps that user, which alone may read the private folder again when told of a
    change, but hardly a capability.
    """
    kept = "-all,+net_admin,+net_raw,+net_bind_service,+setgid,+setuid"
    limits = ["setpriv", "--pdeathsig", "KILL", "--no-new-privs"]
    return [
        *limits,
        *(["--bounding-set", kept, "--inh-caps", kept] if root else []),
        BINARY,
        "--keep-in-foreground",
        "--log-facility=-",
        "--quiet-dhcp",
        "--conf-file=/dev/null",
        f"--pid-file={directory}/dnsmasq.pid",
        f"--dhcp-leasefile={directory}/leases",
        f"--dhcp-hostsfile={directory}/hosts",
        f"--addn-hosts={directory}/names",
        *(["--user=root", "--group=root"] if root else []),
        "--no-hosts",
        "--no-resolv",
        f"--interface={BRIDGE}",
        "--bind-interfaces",
        "--except-interface=lo",
        f"--dhcp-range={address.rsplit('.', 1)[0]}.0,static,255.255.255.0,12h",
        "--dhcp-authoritative",
        "--dhcp-ignore-names",
        "--dhcp-option=option:router",
        f"--dhcp-option=option:dns-server,{address}",
        f"--dhcp-option=option:domain-search,{','.join(search)}",
        f"--domain={search[0]}",
        "--local=/#/",
        "--local-ttl=1",
    ]


def hosts_file(addresses: Mapping[str, str]) -> str:
    """MAC to address, for DHCP."""
    return "".join(f"{mac},{address},12h\n" for mac, address in sorted(addresses.items()))


def names_file(names: Mapping[str, Sequence[str]]) -> str:
    """Name to addresses, for DNS."""
    return "".join(f"{address} {name}\n" for name, found in names.items() for address in found)
