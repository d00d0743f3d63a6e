"""The handlers of panes that are ours: page, state, screenshot, one-time codes. Streams are in `streams.py`."""

from __future__ import annotations

from labkit.gateway import pages, responses
from labkit.gateway.application import Asked, Handler
from labkit.gateway.codes import Codes
from labkit.gateway.embedders import Embedders
from labkit.gateway.engine import Engine
from labkit.gateway.front import Front
from labkit.gateway.keys import TicketKeys
from labkit.gateway.machines import Denied
from labkit.gateway.origins import Origins
from labkit.gateway.responses import Response
from labkit.gateway.sites import LIMITS
from labkit.gateway.tunnels import Tunnels
from labkit.model import MachineState, PaneType


class Panes:
    """What is asked of a pane beside its stream."""

    def __init__(
        self,
        keys: TicketKeys,
        engine: Engine,
        files: pages.StaticFiles,
        tunnels: Tunnels,
        origins: Origins,
        embedders: Embedders,
        front: Front | None = None,
    ) -> None:
        self._front = front
        self._embedders = embedders
        self._origins = origins
        self._keys = keys
        self._engine = engine
        self._files = files
        self._tunnels = tunnels
        self._codes: Codes[str] = Codes()

    def handlers(self) -> dict[str, Handler]:
        """By the names that the route table has."""
        return {
            "alive": self._alive,
            "ready": self._ready,
            "static": self._static,
            "slash": self._slash,
            "page": self._page,
            "state": self._state,
            "screenshot": self._screenshot,
            "code": self._code,
            "redeem": self._redeem,
        }

    async def _alive(self, asked: Asked) -> Response:
        return responses.as_text(200, "alive")

    async def _ready(self, asked: Asked) -> Response:
        if not self._keys.ready:
            raise Denied(503, "keys", "There is no key to verify tickets with yet: start a lab, which makes one.")
        await self._engine.answers()
        if self._front is not None:
            await self._front.ready()
        return responses.as_text(200, "ready")

    async def _static(self, asked: Asked) -> Response:
        return self._files.answer(asked.match.values["file"], asked.request.headers)

    async def _slash(self, asked: Asked) -> Response:
        text = b"The address of a pane ends with a slash.\n"
        return Response(308, text, headers={"Location": f"{asked.match.pane.pane}/"})

    async def _page(self, asked: Asked) -> Response:
        return pages.shell(self._origins.pattern(asked.request.headers.get("host")), self._embedders.origins())

    async def _state(self, asked: Asked) -> Response:
        path, pane = asked.match.pane, asked.pane
        origin = self._origins.of(path, asked.request.headers.get("host"))
        site = {"origin": origin, "limits": "" if origin else LIMITS} if pane.type is PaneType.HTTP else {}
        body = {
            "type": pane.type.value,
            "title": pane.title,
            "machine": path.machine,
            "pane": path.pane,
            "state": pane.state.value,
            "mode": asked.ticket.mode,
            "streams": len(self._tunnels.of(path)),
            **site,
        }
        return responses.as_json(200, body)

    async def _screenshot(self, asked: Asked) -> Response:
        if asked.pane.type is not PaneType.VNC:
            raise Denied(404, "no-screen", "This pane is no screen.")
        if asked.pane.state not in (MachineState.RUNNING, MachineState.PAUSED):
            state = asked.pane.state.value
            raise Denied(409, "", f"The machine {asked.match.pane.machine} is {state}.", state=state)
        picture = await self._engine.screenshot(asked.match.pane.lab, asked.match.pane.machine)
        return Response(200, picture, "image/png")

    async def _code(self, asked: Asked) -> Response:
        return responses.as_json(200, {"code": self._codes.make(asked.match.pane, asked.token)})

    async def _redeem(self, asked: Asked) -> Response:
        code = asked.json().get("code")
        if not isinstance(code, str):
            raise Denied(400, "body", 'The request\'s body must be {"code": …}.')
        return responses.as_json(200, {"ticket": self._codes.redeem(code, asked.match.pane)})
