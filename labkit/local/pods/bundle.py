"""From a pod, a container of it and its image to what runc reads (OCI runtime specification 1.0). Pure."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from labkit.local.objects import Obj, get_path, quantity

SECRETS, CONFIG_MAPS = "secrets", "configmaps"
Lookup = Callable[[str, str], Obj | None]
"""A Secret or ConfigMap of the pod's namespace by kind key and name."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CAPABILITIES = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)  # fmt: skip
_MOST_PROCESSES = 4096
_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
    "/proc/timer_list", "/proc/timer_stats", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_TMPFS = ["nosuid", "noexec", "nodev"]


class ConfigError(Exception):
    """A container that cannot be made as it is written: one sentence."""


@dataclass(frozen=True)
class Place:
    """Where a container is put: the pod's namespaces are those of the process ``holder``."""

    holder: int
    first_id: int
    """The computer's user and group that are 0 in the container, the first of ``ids``."""
    ids: int
    rootfs: Path
    volumes: Path
    cgroup: str
    """Empty where no limits can be set: there runc runs in the pod's user namespace itself."""

    @property
    def mappings(self) -> Sequence[str]:
        """The lists of ids that runc is told of."""
        return ("uidMappings", "gidMappings") if self.cgroup else ()


def data_of(kind: str, reference: Obj, lookup: Lookup) -> Mapping[str, bytes]:
    """What a Secret or ConfigMap holds; nothing for an optional one that is not there. Raises ConfigError."""
    name = reference.get("name") or reference.get("secretName", "")
    found = lookup(kind, name)
    if found is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{kind.removesuffix("s")} "{name}" not found')
    plain = {} if kind == SECRETS else found.get("data") or {}
    coded = found.get("data" if kind == SECRETS else "binaryData") or {}
    decoded = {key: base64.b64decode(text) for key, text in coded.items()}
    return {key: text.encode() for key, text in plain.items()} | decoded


def volume_files(volume: Obj, lookup: Lookup) -> dict[str, tuple[bytes, int]] | None:
    """What a volume holds: bytes and mode by path; None for an empty one to write to. Raises ConfigError."""
    if "emptyDir" in volume:
        return None
    source, kind = (volume["secret"], SECRETS) if "secret" in volume else (volume["configMap"], CONFIG_MAPS)
    data, mode = data_of(kind, source, lookup), source.get("defaultMode", 0o644)
    items = source.get("items") or [{"key": key, "path": key} for key in data]
    for item in items:
        if item["key"] not in data and not source.get("optional"):
            raise ConfigError(f'volume "{volume["name"]}": references non-existent key: {item["key"]}')
        if ".." in PurePosixPath(item["path"]).parts or item["path"].startswith("/"):
            raise ConfigError(f"volume \"{volume['name']}\": '{item['path']}' must be a relative path without ..")
    return {item["path"]: (data[item["key"]], item.get("mode", mode)) for item in items if item["key"] in data}


def environment(pod: Obj, container: Obj, address: str, lookup: Lookup) -> dict[str, str]:
    """What ``envFrom`` and ``env`` say, later over earlier. Raises ConfigError."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        for key, kind in (("configMapRef", CONFIG_MAPS), ("secretRef", SECRETS)):
            if key in source:
                data = data_of(kind, source[key], lookup)
                found |= {source.get("prefix", "") + name: text.decode(errors="replace") for name, text in data.items()}
    for entry in container.get("env", ()):
        value = _value(pod, entry, address, lookup)
        if value is not None:
            found[entry["name"]] = expand(value, found)
    return found


def _value(pod: Obj, entry: Obj, address: str, lookup: Lookup) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return str(entry.get("value", ""))
    if "fieldRef" in source:
        path = source["fieldRef"]["fieldPath"]
        return address if path == "status.podIP" else str(get_path(pod, path, ""))
    key, kind = ("secretKeyRef", SECRETS) if "secretKeyRef" in source else ("configMapKeyRef", CONFIG_MAPS)
    data = data_of(kind, source[key], lookup)
    if source[key]["key"] in data:
        return data[source[key]["key"]].decode(errors="replace")
    if source[key].get("optional"):
        return None
    raise ConfigError(f"couldn't find key {source[key]['key']} in {kind.removesuffix('s')} {source[key]['name']}")


def expand(text: str, values: Mapping[str, str]) -> str:
    """``$(NAME)`` by its value where there is one; ``$$`` is a dollar sign."""
    return re.sub(
        r"\$(?:\$|\(([^()]*)\))",
        lambda match: "$" if match[1] is None else values.get(match[1], match[0]),
        text,
    )


def config(
    pod: Obj, container: Obj, image: Obj, place: Place, given: Mapping[str, str], user: Obj, seccomp: Obj
) -> Obj:
    """The whole ``config.json``. ``image`` is the image's own configuration. Raises ConfigError."""
    security = container.get("securityContext", {})
    dropped = {name.removeprefix("CAP_") for name in get_path(security, "capabilities.drop", [])}
    held = [f"CAP_{name}" for name in _CAPABILITIES if not dropped & {name, "ALL"}]
    sets = ("bounding", "permitted", "effective") if user["uid"] == 0 else ("bounding",)
    start, more = container.get("command"), container.get("args")
    entry = start or image.get("Entrypoint") or []
    arguments = [*entry, *(more if more is not None else [] if start else image.get("Cmd") or [])]
    if not arguments:
        raise ConfigError("neither the container nor its image says what to run")
    own = [f"PATH={_PATH}", f"HOSTNAME={hostname(pod)}", *(image.get("Env") or [])]
    limits = container["resources"].get("limits", {})
    fixed = {volume["name"] for volume in pod["spec"].get("volumes", ()) if "emptyDir" not in volume}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": user,
            "args": [expand(word, given) for word in arguments],
            "env": [*own, *(f"{name}={value}" for name, value in given.items())],
            "cwd": container.get("workingDir") or image.get("WorkingDir") or "/",
            "capabilities": dict.fromkeys(sets, held),
            "noNewPrivileges": security.get("allowPrivilegeEscalation") is False,
            "rlimits": [] if place.cgroup or "memory" not in limits else [_data_limit(limits)],
        },
        "root": {"path": str(place.rootfs), "readonly": bool(security.get("readOnlyRootFilesystem"))},
        "mounts": [*_mounts(place), *(_volume(place, mount, fixed) for mount in _by_depth(container))],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "cgroup"}, *_shared(place)],
            **{key: [{"containerID": 0, "hostID": place.first_id, "size": place.ids}] for key in place.mappings},
            **({"cgroupsPath": place.cgroup, "resources": _resources(limits)} if place.cgroup else {}),
            "seccomp": seccomp,
            "maskedPaths": _MASKED,
            "readonlyPaths": _READ_ONLY,
        },
    }


_NAMESPACES = (("user", "user"), ("network", "net"), ("uts", "uts"), ("ipc", "ipc"))


def hostname(pod: Obj) -> str:
    """What its containers are called."""
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"].split(".")[0][:63])


def _shared(place: Place) -> list[Obj]:
    entered = _NAMESPACES if place.mappings else _NAMESPACES[1:]
    return [{"type": kind, "path": f"/proc/{place.holder}/ns/{file}"} for kind, file in entered]


def _data_limit(limits: Obj) -> Obj:
    most = int(quantity(limits["memory"]))
    return {"type": "RLIMIT_DATA", "soft": most, "hard": most}


def _resources(limits: Obj) -> Obj:
    found: Obj = {"devices": [{"allow": False, "access": "rwm"}], "pids": {"limit": _MOST_PROCESSES}}
    if "memory" in limits:
        most = int(quantity(limits["memory"]))
        found["memory"] = {"limit": most}
    if "cpu" in limits:
        found["cpu"] = {"period": 100_000, "quota": max(1000, int(quantity(limits["cpu"]) * 100_000))}
    return found


def _mounts(place: Place) -> list[Obj]:
    rows = (
        ("/proc", "proc", "proc", _TMPFS),
        ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        ("/dev/shm", "tmpfs", "shm", [*_TMPFS, "mode=1777", "size=65536k"]),  # noqa: S108 - the container's own
        ("/dev/mqueue", "mqueue", "mqueue", _TMPFS),
        ("/sys", "sysfs", "sysfs", [*_TMPFS, "ro"]),
        *((f"/etc/{name}", "bind", str(place.volumes / ETC / name), ["rbind", "rprivate"]) for name in ETC_FILES),
    )
    return [dict(zip(("destination", "type", "source", "options"), row, strict=True)) for row in rows]


def etc_files(pod: Obj, address: str, gateway: str, search: Sequence[str]) -> dict[str, tuple[bytes, int]]:
    """Those that say who the pod is and whom it asks for names."""
    host, domain = hostname(pod), pod["spec"].get("subdomain")
    names = f"{host}.{domain}.{search[0]} {host}" if domain else host
    texts = {
        "hosts": f"127.0.0.1 localhost\n{address} {names}\n",
        "hostname": f"{host}\n",
        "resolv.conf": f"nameserver {gateway}\nsearch {' '.join(search)}\noptions ndots:5\n",
    }
    return {name: (text.encode(), 0o644) for name, text in texts.items()}


ETC, ETC_FILES = ".etc", ("hosts", "hostname", "resolv.conf")
"""Beside the pod's volumes: what each of its containers finds in ``/etc``."""


def _by_depth(container: Obj) -> list[Obj]:
    mounts: list[Obj] = container.get("volumeMounts", [])
    return sorted(mounts, key=lambda mount: len(PurePosixPath(mount["mountPath"]).parts))


def _volume(place: Place, mount: Obj, fixed: Collection[str]) -> Obj:
    options = ["rbind", "rprivate", *(["ro"] if mount.get("readOnly") or mount["name"] in fixed else [])]
    source = str(place.volumes / mount["name"])
    return {"destination": mount["mountPath"], "type": "bind", "source": source, "options": options}


def user_of(pod: Obj, container: Obj, image: Obj, accounts: Callable[[str], Sequence[str]], ids: int) -> Obj:
    """Whose a container's first process is: ``accounts`` gives the lines of the image's passwd or group file.

    Raises ConfigError.
    """
    wanted = pod["spec"].get("securityContext", {}) | container.get("securityContext", {})
    name, _, group = str(image.get("User") or "0").partition(":")
    rows = [line.split(":") for line in accounts("passwd")]
    row = next((row for row in rows if len(row) > 3 and name in (row[0], row[2])), None)
    uid = wanted.get("runAsUser", row[2] if row else name)
    gid = group or (row[3] if row and "runAsUser" not in wanted else "0")
    groups = (line.split(":") for line in accounts("group"))
    gid = wanted.get("runAsGroup", next((row[2] for row in groups if len(row) > 2 and row[0] == gid), gid))
    try:
        user = {"uid": int(uid), "gid": int(gid)}
    except ValueError as error:
        raise ConfigError(f"the image's user '{image.get('User')}' is not in its /etc/passwd") from error
    if wanted.get("runAsNonRoot") and not user["uid"]:
        raise ConfigError("container has runAsNonRoot and image will run as root")
    if not all(0 <= number < ids for number in user.values()):
        raise ConfigError(f"user {user['uid']}:{user['gid']} cannot be had here: only 0 to {ids - 1} can")
    return user


def seccomp_of(profile: Obj) -> Obj:
    """Those rules of a profile (in the form of github.com/containers/common) that are for us, as runc reads them."""
    machine = os.uname().machine
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    own = next((row for row in profile["archMap"] if row["architecture"].lower().endswith(machine)), None)
    held = {f"CAP_{name}" for name in _CAPABILITIES}

    def ours(rule: Obj) -> bool:
        only, but = rule.get("includes") or {}, rule.get("excludes") or {}
        fits = arch in only.get("arches", [arch]) and held >= set(only.get("caps", ()))
        return fits and arch not in but.get("arches", ()) and not held & set(but.get("caps", ()))

    kept = ("names", "action", "args", "errnoRet")
    rules = [
        {key: rule[key] for key in kept if rule.get(key) is not None} for rule in profile["syscalls"] if ours(rule)
    ]
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
        "architectures": [own["architecture"], *own["subArchitectures"]] if own else [],
        "syscalls": rules,
    }
