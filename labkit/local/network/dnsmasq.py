"""dnsmasq's command line and files. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from labkit.local.network.names import CLUSTER_DOMAIN, Member

BINARY = "dnsmasq"
BRIDGE = "br0"
UPLINK = "up0"
UPLINK_NETWORK = "169.254.77.0/24"
"""Of the way out's own end: link-local, so that it hides no address of the computer's network."""
UPLINK_DNS = "169.254.77.3"
OPEN_PORT = 1053
"""Where outside names are looked up too: only those machines are led there that may ask for them."""


def command(directory: Path, *, address: str, root: bool, upstream: str = "") -> list[str]:
    """DHCP (known machines only, fixed addresses) and DNS (the segment's own names only) on the bridge.

    With ``upstream``, instead: DNS alone, on ``OPEN_PORT``, asking that server for names that are not of the cluster.
    It ends with the holder. As root it keeps that user, which alone may read the private folder again when told of a
    change, but hardly a capability.
    """
    kept = "-all,+net_admin,+net_raw,+net_bind_service,+setgid,+setuid"
    limits = ["setpriv", "--pdeathsig", "KILL", "--no-new-privs"]
    dhcp = [
        f"--pid-file={directory}/dnsmasq.pid",
        f"--dhcp-leasefile={directory}/leases",
        f"--dhcp-hostsfile={directory}/hosts",
        f"--dhcp-range={address.rsplit('.', 1)[0]}.0,static,255.255.255.0,12h",
        "--dhcp-authoritative",
        "--dhcp-ignore-names",
        f"--dhcp-option=option:dns-server,{address}",
        f"--dhcp-optsfile={directory}/options",
        "--local=/#/",
    ]
    forwarding = [
        f"--pid-file={directory}/forward.pid",
        f"--port={OPEN_PORT}",
        f"--server={upstream}",
        f"--local=/{CLUSTER_DOMAIN}/",
        "--domain-needed",
    ]
    return [
        *limits,
        *(["--bounding-set", kept, "--inh-caps", kept] if root else []),
        BINARY,
        "--keep-in-foreground",
        "--log-facility=-",
        "--quiet-dhcp",
        "--conf-file=/dev/null",
        f"--addn-hosts={directory}/names",
        *(["--user=root", "--group=root"] if root else []),
        "--no-hosts",
        "--no-resolv",
        f"--interface={BRIDGE}",
        "--bind-interfaces",
        "--except-interface=lo",
        *(forwarding if upstream else dhcp),
        "--local-ttl=1",
    ]


def hosts_file(members: Iterable[Member]) -> str:
    """MAC to address, for DHCP."""
    return "".join(f"{member.mac},{member.address},12h\n" for member in members)


def with_former(hosts: str, leases: str) -> str:
    """``hosts_file``, in which each address also has the MAC that it is still leased to: without it, dnsmasq would keep
    an address for the machine that had it before, which is gone (a machine that is made anew has another MAC)."""
    leased = {line.split()[2]: line.split()[1] for line in leases.splitlines() if len(line.split()) > 3}
    rows = [line.partition(",") for line in hosts.splitlines()]
    macs = ((mac, leased.get(rest.partition(",")[0], mac), rest) for mac, _, rest in rows)
    return "".join(f"{mac},{rest}\n" if mac == old else f"{mac},{old},{rest}\n" for mac, old, rest in macs)


def options_file(search: Sequence[str]) -> str:
    """What DHCP tells of where names are looked for."""
    return f"option:domain-search,{','.join(search)}\noption:domain-name,{search[0]}\n"


def names_file(names: Mapping[str, Sequence[str]]) -> str:
    """Name to addresses, for DNS."""
    return "".join(f"{address} {name}\n" for name, found in names.items() for address in found)
