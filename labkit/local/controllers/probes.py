"""Readiness and liveness probes of running machines: asked inside the lab's network, or of the guest agent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from labkit.local.kubevirt.rules import HANDLERS
from labkit.local.network.segments import NetworkError
from labkit.local.objects import Obj
from labkit.local.qemu.agent import AgentError

_LONGEST_FAULT = 256
"""Characters of an event that a guest may have a say in."""


def after(good: bool, against: int, answer: bool, probe: Obj) -> tuple[bool, int]:
    """What is believed after one more answer, and how many answers in a row now contradict it."""
    if answer == good:
        return good, 0
    enough = against + 1 >= probe["failureThreshold" if good else "successThreshold"]
    return (answer, 0) if enough else (good, against + 1)


Dial = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Connects to a port of the machine. Raises NetworkError or OSError."""
Tell = Callable[[str], None]


class Probed(Protocol):
    """A machine, or a container."""

    @property
    def facts(self) -> Any:
        """What is known now: whether it has ``ended``, or is ``paused``."""

    def note(self, **facts: Any) -> None:
        """Keep what was found out."""

    async def run(self, command: list[str], seconds: float) -> bool:
        """Whether a command in it ends well. Raises AgentError or TimeoutError."""

    async def ping(self, seconds: float) -> None:
        """Ask the guest agent. Raises AgentError."""


async def watch(machine: Probed, kind: str, probe: Obj, dial: Dial, tell: Tell) -> None:
    """Ask one (defaulted) probe for as long as the machine runs; it is told what is believed, ``tell`` each failure."""
    good, against = kind != "readinessProbe", 0
    await asyncio.sleep(probe.get("initialDelaySeconds", 0))
    while not machine.facts.ended:
        # A paused guest's agent cannot answer, which says nothing about its health.
        if not (machine.facts.paused and "guestAgentPing" in probe):
            fault = await _ask(machine, probe, dial, probe["timeoutSeconds"])
            good, against = after(good, against, not fault, probe)
            if fault:
                tell(f"{kind.removesuffix('Probe').capitalize()} probe failed: {fault}")
            if kind == "readinessProbe":
                machine.note(ready=good)
            elif not good:
                machine.note(ended="unhealthy")
            elif kind == "startupProbe" and not fault:
                return machine.note(started=True)
        await asyncio.sleep(probe["periodSeconds"])


async def _ask(machine: Probed, probe: Obj, dial: Dial, seconds: float) -> str:
    """The fault that one try shows, or nothing."""
    what = next(name for name in HANDLERS if name in probe)
    try:
        async with asyncio.timeout(seconds):
            if what == "guestAgentPing":
                await machine.ping(seconds)
            elif what == "exec":
                well = await machine.run(probe["exec"]["command"], seconds)
                return "" if well else "the command ended with a status other than 0"
            else:
                return await _connect(probe[what], dial, http=what == "httpGet")
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except (AgentError, NetworkError, OSError, ValueError) as error:
        return str(error)[:_LONGEST_FAULT]
    return ""


async def _connect(target: Obj, dial: Dial, *, http: bool) -> str:
    reader, writer = await dial(target["port"])
    try:
        if not http:
            return ""
        if target.get("scheme") == "HTTPS":
            await writer.start_tls(ssl._create_unverified_context(), server_hostname="")  # noqa: S323 - as the kubelet
        headers = {"Host": "machine", "User-Agent": "kube-probe/1.32", "Accept": "*/*", "Connection": "close"}
        headers |= {item["name"]: item["value"] for item in target.get("httpHeaders", [])}
        lines = [
            f"GET /{target.get('path', '').removeprefix('/')} HTTP/1.1",
            *(f"{k}: {v}" for k, v in headers.items()),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        words = (await reader.readline()).decode(errors="replace").split(" ")
        code = int(words[1]) if len(words) > 1 else 0
        return "" if 200 <= code < 400 else f"HTTP probe failed with statuscode: {code}"
    finally:
        writer.close()
