"""``/labkit/warm``: what is warm, and what is to be. The engine's own: Kubernetes has no such thing."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from labkit.local.api.kinds import Admission
from labkit.local.api.status import bad_request
from labkit.local.kubevirt.admission import admit_vmi
from labkit.local.objects import Obj
from labkit.local.qemu.images import ImageError
from labkit.local.store import Store
from labkit.local.warm import keys
from labkit.local.warm.spares import Spares
from labkit.local.warm.wanted import TooMuch
from labkit.local.warm.warm import Warm

PATH = "/labkit/warm"
_MOST_SPARES = 64
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WarmRoutes:
    """GET: everything. POST ``{"name": …, "machines": {NAME: a VMI's spec}, "spares": NUMBER}``: prepare a lab."""

    def __init__(self, store: Store, warm: Warm, spares: Spares, acceleration: str) -> None:
        self._store = store
        self._warm = warm
        self._spares = spares
        self._acceleration = acceleration

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """By method and path."""
        return {("GET", PATH): self.show, ("POST", PATH): self.prepare}

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Templates, the one that is being made, what cannot be one, spares."""
        templates = [asdict(template) for template in self._warm.shelf.all()]
        for template in templates:
            del template["folder"], template["files"], template["os_info"]
        return web.json_response(
            {
                "on": self._warm.on,
                "acceleration": self._acceleration,
                "limits": asdict(self._warm.shelf.limits),
                "templates": templates,
                "making": self._warm.making(),
                "unfit": self._warm.unfit,
                "spares": self._spares.told(),
            }
        )

    async def prepare(self, request: web.Request) -> web.StreamResponse:
        """Have templates made of machines, and sets of them parked; how far each is. May be asked again and again."""
        if not self._warm.on:
            raise bad_request("warm starts are switched off: start the engine without --warm=off")
        try:
            asked: Any = json.loads(await request.text())
            name, machines, number = str(asked["name"]), dict(asked["machines"]), int(asked.get("spares", 0))
        except (ValueError, TypeError, KeyError) as error:
            raise bad_request(f'the body must be {{"name", "machines": {{NAME: SPEC}}, "spares"}}: {error}') from error
        if not 0 <= number <= _MOST_SPARES:
            raise bad_request(f"spares must be a number from 0 to {_MOST_SPARES}")
        vmis = {each: self._defaulted(spec) for each, spec in machines.items()}
        states = {each: self._state(vmi) for each, vmi in vmis.items()}
        fit = [vmi for each, vmi in vmis.items() if states[each]["state"] != "unfit"]
        try:
            self._spares.keep(name, fit, number if fit else 0)
        except TooMuch as error:
            raise bad_request(str(error)) from error
        return web.json_response({"machines": states, "spares": self._spares.told()})

    def _defaulted(self, spec: Obj) -> Obj:
        """A machine as it would be stored. ApiError 422."""
        metadata = {"name": f"warm-{uuid.uuid4().hex[:8]}", "namespace": "default"}
        vmi: Obj = {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "metadata": metadata,
            "spec": spec,
        }
        admit_vmi(Admission(vmi, None, self._store.get))
        return vmi

    def _state(self, vmi: Obj) -> Obj:
        try:
            why = keys.unfit(vmi) or self._warm.unfit.get(self._warm.key(vmi), "")
            ready = not why and self._warm.template(vmi) is not None
            if not why:
                self._warm.want(vmi)
        except ImageError as error:
            why, ready = str(error), False
        return {"state": "unfit" if why else "ready" if ready else "making", "why": why}
