"""Starting a container: its image, its configuration, its process."""

from __future__ import annotations

import asyncio
import json
from functools import cache, partial

from labkit.local.controllers.events import Recorder
from labkit.local.objects import Obj, namespace_of
from labkit.local.pods import bundle, status
from labkit.local.pods.images import Image, Images, ImageTrouble
from labkit.local.pods.live import Held
from labkit.local.pods.runtime import PROFILE, RuntimeTrouble
from labkit.local.store import Store

_RETRY_SECONDS = 2.0
_UNLIMITED = "without root's rights a limit of memory holds for each process, one of processors not at all"


class Starts:
    """Starts containers; holds none."""

    def __init__(self, store: Store, recorder: Recorder, images: Images) -> None:
        self._store = store
        self._recorder = recorder
        self._images = images

    async def start(
        self, pod: Obj, held: Held, holder: int, container: Obj, record: Obj, address: str
    ) -> tuple[Obj, float | None]:
        """A container's record after its next start was tried; the seconds after which to try again."""
        kind, runtime = container["name"], held.runtime
        count = record["restartCount"] + bool(record["lastState"])
        name = f"{kind}-{count}"
        try:
            image = await self._pull(pod, held, container)
            config = self._configured(pod, container, image, address, runtime.place(holder, name))
            await runtime.start(holder, name, image.rootfs, config)
        except ImageTrouble as error:
            self._recorder.record(pod, "Failed", f"Error: {error}", warning=True)
            if error.reason != "ErrImagePull":
                return status.waiting(record, error.reason, str(error)), _RETRY_SECONDS
            why = f'Back-off pulling image "{container["image"]}": {error.reason}: {error}'
            return status.waiting(record, "ImagePullBackOff", why), held.put_off(kind, at_once=False)
        except bundle.ConfigError as error:
            self._recorder.record(pod, "Failed", f"Error: {error}", warning=True)
            return status.waiting(record, "CreateContainerConfigError", str(error)), _RETRY_SECONDS
        except (RuntimeTrouble, OSError) as error:
            self._recorder.record(pod, "Failed", f"Error: {error}", warning=True)
            await runtime.remove(name)
            return status.ended(record | {"restartCount": count}, None, str(error)), 0.0
        for reason in ("Created", "Started"):
            self._recorder.record(pod, reason, f"{reason} container {kind}")
        if count:
            await runtime.remove(f"{kind}-{count - 1}")
            runtime.log(f"{kind}-{count - 2}").unlink(missing_ok=True)
        else:
            held.failures.pop(kind, None)
        return status.running(record, image.digest, runtime.identity(name), count), None

    async def _pull(self, pod: Obj, held: Held, container: Obj) -> Image:
        reference, policy = container["image"], container["imagePullPolicy"]
        remote = self._images.remote(reference, policy)
        if remote:
            self._recorder.record(pod, "Pulling", f'Pulling image "{reference}"')
        held.pulling = task = asyncio.create_task(self._images.get(reference, policy))
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            held.pulling = None
        if task.cancelled():
            raise ImageTrouble("ErrImagePull", "the pod is being deleted")
        image = task.result()
        here = f'Container image "{reference}" already present on machine'
        self._recorder.record(pod, "Pulled", f'Successfully pulled image "{reference}"' if remote else here)
        return image

    def _configured(self, pod: Obj, container: Obj, image: Image, address: str, place: bundle.Place) -> Obj:
        if not place.cgroup and container["resources"].get("limits"):
            self._recorder.record(pod, "LimitsNotEnforced", _UNLIMITED, warning=True)
        given = bundle.environment(pod, container, address, partial(self.lookup, namespace_of(pod)))
        config = bundle.config(pod, container, image.config, image.start, place, given)
        config["linux"]["seccomp"] = _seccomp()
        return config

    def lookup(self, namespace: str, kind: str, name: str) -> Obj | None:
        """A Secret or ConfigMap."""
        return self._store.get(kind, namespace, name)


@cache
def _seccomp() -> Obj:
    return bundle.seccomp_of(json.loads(PROFILE.read_text()))
