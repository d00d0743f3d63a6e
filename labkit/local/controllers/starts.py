"""Starting a container: its image, its configuration, its process; and when to try again what cannot be had yet."""

from __future__ import annotations

import asyncio
import json
from functools import cache, partial
from pathlib import Path

from labkit.local.controllers.events import Recorder
from labkit.local.objects import Obj, get_path, namespace_of, uid_of
from labkit.local.pods import bundle, status
from labkit.local.pods.images import Image, Images, ImageTrouble
from labkit.local.pods.runtime import PROFILE, Runtime, RuntimeTrouble
from labkit.local.store import Store

_RETRY_SECONDS, _LONGEST_RETRY = 5.0, 300.0
_UNLIMITED = "without root's rights a limit of memory holds for each process, one of processors not at all"


class Starts:
    """Starts containers; holds none."""

    def __init__(self, store: Store, recorder: Recorder, images: Images) -> None:
        self._store = store
        self._recorder = recorder
        self._images = images
        self._gates: dict[tuple[str, str], tuple[float, int]] = {}
        """When a start may be tried again (loop time), and how often it has failed."""
        self._pulls: dict[str, asyncio.Task[Image]] = {}

    def stop(self, pod_uid: str) -> None:
        """A pod is being deleted: it waits for no image."""
        if task := self._pulls.get(pod_uid):
            task.cancel()

    def forget(self, pod_uid: str) -> None:
        """A pod is gone."""
        self._gates = {key: gate for key, gate in self._gates.items() if key[0] != pod_uid}

    async def start(
        self, pod: Obj, container: Obj, record: Obj, address: str, runtime: Runtime, holder: int, count: int
    ) -> tuple[Obj, float | None]:
        """A container's record after its ``count``-th start was tried; the seconds after which to try again."""
        gate, now, name = (uid_of(pod), container["name"]), _now(), f"{container['name']}-{count}"
        until, failures = self._gates.get(gate, (0.0, 0))
        if until > now:
            if get_path(record, "state.waiting.reason") == "ErrImagePull":
                why = f'Back-off pulling image "{container["image"]}"'
                self._recorder.record(pod, "BackOff", why, warning=True)
                record = status.waiting(record, "ImagePullBackOff", why)
            return record, until - now
        try:
            image = await self._pull(pod, container)
            config = self._configured(pod, container, image, address, runtime, holder, name)
            await runtime.start(holder, name, image.rootfs, config)
        except (ImageTrouble, bundle.ConfigError) as error:
            reason = error.reason if isinstance(error, ImageTrouble) else "CreateContainerConfigError"
            self._recorder.record(pod, "Failed", f"Error: {error}", warning=True)
            pause = min(2.0**failures * _RETRY_SECONDS, _LONGEST_RETRY) if reason == "ErrImagePull" else _RETRY_SECONDS
            self._gates[gate] = now + pause, min(failures + 1, 10)
            return status.waiting(record, reason, str(error)), pause
        except (RuntimeTrouble, OSError) as error:
            self._recorder.record(pod, "Failed", f"Error: {error}", warning=True)
            await runtime.remove(holder, name)
            return status.ended(record | {"restartCount": count}, None, str(error)), 0.0
        self._gates.pop(gate, None)
        for reason in ("Created", "Started"):
            self._recorder.record(pod, reason, f"{reason} container {container['name']}")
        if count:
            await runtime.remove(holder, f"{container['name']}-{count - 1}")
            runtime.log(f"{container['name']}-{count - 2}").unlink(missing_ok=True)
        return status.running(record, image.digest, runtime.identity(name), count), None

    async def _pull(self, pod: Obj, container: Obj) -> Image:
        reference, policy = container["image"], container["imagePullPolicy"]
        remote = self._images.remote(reference, policy)
        if remote:
            self._recorder.record(pod, "Pulling", f'Pulling image "{reference}"')
        self._pulls[uid_of(pod)] = task = asyncio.create_task(self._images.get(reference, policy))
        try:
            image = await task
        except asyncio.CancelledError:
            if not task.cancelled():
                task.cancel()
                raise
            raise ImageTrouble("ErrImagePull", "the pod is being deleted") from None
        finally:
            del self._pulls[uid_of(pod)]
        here = f'Container image "{reference}" already present on machine'
        self._recorder.record(pod, "Pulled", f'Successfully pulled image "{reference}"' if remote else here)
        return image

    def _configured(
        self, pod: Obj, container: Obj, image: Image, address: str, runtime: Runtime, holder: int, name: str
    ) -> Obj:
        place = runtime.place(holder, name)
        given = bundle.environment(pod, container, address, partial(self.lookup, namespace_of(pod)))
        user = bundle.user_of(pod, container, image.config, partial(_accounts, image.rootfs), place.ids)
        if not place.cgroup and container["resources"].get("limits"):
            self._recorder.record(pod, "LimitsNotEnforced", _UNLIMITED, warning=True)
        return bundle.config(pod, container, image.config, place, given, user, _seccomp())

    def lookup(self, namespace: str, kind: str, name: str) -> Obj | None:
        """A Secret or ConfigMap."""
        return self._store.get(kind, namespace, name)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _accounts(rootfs: Path, name: str) -> list[str]:
    file = (rootfs / "etc" / name).resolve()
    return file.read_text(errors="replace").splitlines() if file.is_relative_to(rootfs) and file.is_file() else []


@cache
def _seccomp() -> Obj:
    return bundle.seccomp_of(json.loads(PROFILE.read_text()))
