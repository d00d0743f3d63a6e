"""From a pod, a container of it and its image to what runc reads (OCI runtime specification 1.0). Pure."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from labkit.local.objects import Obj, get_path, quantity

Lookup = Callable[[str, str], Obj | None]
"""A Secret or ConfigMap of the pod's namespace by kind key and name."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CAPABILITIES = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)  # fmt: skip
_MOST_PROCESSES = 4096
_MASKED = ("/proc/acpi", "/proc/asound", "/proc/keys", "/sys/devices/virtual/powercap")
"""Beside those that umoci knows."""
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


def _content(source: Obj, lookup: Lookup) -> tuple[Obj, Mapping[str, bytes]]:
    """The reference in an env, envFrom or volume to a Secret or ConfigMap, and what that holds: nothing for an optional
    one that is not there. Raises ConfigError.
    """
    word = next(word for word in source if word.startswith(("secret", "configMap")))
    reference, secret = source[word], word.startswith("secret")
    name = reference.get("name") or reference.get("secretName", "")
    found = lookup("secrets" if secret else "configmaps", name)
    if found is None and not reference.get("optional"):
        raise ConfigError(f'{"secret" if secret else "configmap"} "{name}" not found')
    coded = get_path(found, "data" if secret else "binaryData", {})
    plain = {} if secret else get_path(found, "data", {})
    decoded = {key: base64.b64decode(text) for key, text in coded.items()}
    return reference, {key: text.encode() for key, text in plain.items()} | decoded


def volume_files(volume: Obj, lookup: Lookup) -> dict[str, tuple[bytes, int]] | None:
    """What a volume holds: bytes and mode by path; None for an empty one to write to. Raises ConfigError."""
    if "emptyDir" in volume:
        return None
    source, data = _content(volume, lookup)
    mode = source.get("defaultMode", 0o644)
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
        for name, text in _content(source, lookup)[1].items():
            found[source.get("prefix", "") + name] = text.decode(errors="replace")
    for entry in container.get("env", ()):
        value = _value(pod, entry, address, lookup)
        if value is not None:
            found[entry["name"]] = expand(value, found)
    return found


def _value(pod: Obj, entry: Obj, address: str, lookup: Lookup) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return str(entry.get("value", ""))
    if path := get_path(source, "fieldRef.fieldPath"):
        return address if path == "status.podIP" else str(get_path(pod, path, ""))
    reference, data = _content(source, lookup)
    if reference["key"] not in data and not reference.get("optional"):
        raise ConfigError(f"couldn't find key {reference['key']} in {reference['name']}")
    return data[reference["key"]].decode(errors="replace") if reference["key"] in data else None


def expand(text: str, values: Mapping[str, str]) -> str:
    """``$(NAME)`` by its value where there is one; ``$$`` is a dollar sign."""
    return re.sub(
        r"\$(?:\$|\(([^()]*)\))",
        lambda match: "$" if match[1] is None else values.get(match[1], match[0]),
        text,
    )


def config(pod: Obj, container: Obj, image: Obj, start: Obj, place: Place, given: Mapping[str, str]) -> Obj:
    """The whole ``config.json`` but for seccomp. ``image`` is the image's own configuration, ``start`` what umoci makes
    of it. Raises ConfigError.
    """
    security = pod["spec"].get("securityContext", {}) | container.get("securityContext", {})
    user = _user(security, start["process"]["user"], place.ids)
    dropped = {name.removeprefix("CAP_") for name in get_path(security, "capabilities.drop", [])}
    held = [f"CAP_{name}" for name in _CAPABILITIES if not dropped & {name, "ALL"}]
    sets = ("bounding", "permitted", "effective") if user["uid"] == 0 else ("bounding",)
    own = [f"PATH={_PATH}", f"HOSTNAME={hostname(pod)}", *(image.get("Env") or [])]
    limits = container["resources"].get("limits", {})
    return {
        "ociVersion": start["ociVersion"],
        "process": {
            "user": user,
            "args": [expand(word, given) for word in _arguments(container, image)],
            "env": [*own, *(f"{name}={value}" for name, value in given.items())],
            "cwd": container.get("workingDir") or image.get("WorkingDir") or "/",
            "capabilities": dict.fromkeys(sets, held),
            "noNewPrivileges": security.get("allowPrivilegeEscalation") is False,
            "rlimits": [] if place.cgroup or "memory" not in limits else [_data_limit(limits)],
        },
        "root": {"path": str(place.rootfs), "readonly": bool(security.get("readOnlyRootFilesystem"))},
        "mounts": [*_mounts(start, place), *_volumes(pod, container, place)],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "cgroup"}, *_shared(place)],
            **(_with_cgroup(place, limits) if place.cgroup else {}),
            "maskedPaths": [*start["linux"]["maskedPaths"], *_MASKED],
            "readonlyPaths": start["linux"]["readonlyPaths"],
        },
    }


def hostname(pod: Obj) -> str:
    """What its containers are called."""
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"].split(".")[0][:63])


def _arguments(container: Obj, image: Obj) -> list[str]:
    start, more = container.get("command"), container.get("args")
    found = [*(start or image.get("Entrypoint") or []), *(more or ([] if start else image.get("Cmd")) or [])]
    if not found:
        raise ConfigError("neither the container nor its image says what to run")
    return found


def _user(wanted: Obj, image: Obj, ids: int) -> Obj:
    """Whose the first process is."""
    user = {"uid": wanted["runAsUser"], "gid": 0} if "runAsUser" in wanted else image
    user |= {"gid": wanted["runAsGroup"]} if "runAsGroup" in wanted else {}
    if wanted.get("runAsNonRoot") and not user["uid"]:
        raise ConfigError("container has runAsNonRoot and image will run as root")
    if not all(0 <= number < ids for number in (user["uid"], user["gid"], *user.get("additionalGids", ()))):
        raise ConfigError(f"user {user['uid']}:{user['gid']} cannot be had here: only 0 to {ids - 1} can")
    return user


def _shared(place: Place) -> list[Obj]:
    kinds = [("network", "net"), ("uts", "uts"), ("ipc", "ipc"), *([("user", "user")] if place.cgroup else [])]
    return [{"type": kind, "path": f"/proc/{place.holder}/ns/{file}"} for kind, file in kinds]


def _data_limit(limits: Obj) -> Obj:
    most = int(quantity(limits["memory"]))
    return {"type": "RLIMIT_DATA", "soft": most, "hard": most}


def _with_cgroup(place: Place, limits: Obj) -> Obj:
    found: Obj = {"devices": [{"allow": False, "access": "rwm"}], "pids": {"limit": _MOST_PROCESSES}}
    if "memory" in limits:
        found["memory"] = {"limit": int(quantity(limits["memory"]))}
    if "cpu" in limits:
        found["cpu"] = {"period": 100_000, "quota": max(1000, int(quantity(limits["cpu"]) * 100_000))}
    mapping = [{"containerID": 0, "hostID": place.first_id, "size": place.ids}]
    return {"uidMappings": mapping, "gidMappings": mapping, "cgroupsPath": place.cgroup, "resources": found}


def _mounts(start: Obj, place: Place) -> list[Obj]:
    """What every container has; a terminal's group, which an ordinary user has not, is left out."""
    usual = [mount for mount in start["mounts"] if mount["type"] != "cgroup"]
    kept = [
        mount | {"options": [word for word in mount.get("options", _TMPFS) if not word.startswith("gid=")]}
        for mount in usual
    ]
    return kept + [_bind(f"/etc/{name}", place.volumes / ETC / name) for name in ETC_FILES]


def _volumes(pod: Obj, container: Obj, place: Place) -> list[Obj]:
    fixed = {volume["name"] for volume in pod["spec"].get("volumes", ()) if "emptyDir" not in volume}
    mounts = sorted(container.get("volumeMounts", ()), key=lambda mount: len(PurePosixPath(mount["mountPath"]).parts))
    return [
        _bind(mount["mountPath"], place.volumes / mount["name"] / mount.get("subPath", ""), read_only)
        for mount in mounts
        for read_only in [mount.get("readOnly") or mount["name"] in fixed]
    ]


def _bind(target: str, source: Path, read_only: bool = False) -> Obj:
    options = ["rbind", "rprivate", *(["ro"] if read_only else [])]
    return {"destination": target, "type": "bind", "source": str(source), "options": options}


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
