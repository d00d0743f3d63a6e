"""A command in a container, over `pods/exec`: Kubernetes' channels in one WebSocket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from kubernetes import client
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from labkit.cluster.portforward import connect_stream, finished
from labkit.cluster.refusals import refusal
from labkit.cluster.streams import CHANNELS_THAT_END, StreamTarget, exec_target
from labkit.errors import ClusterUnavailable

_STDIN, _STDOUT, _STDERR, _RESULT, _END = 0, 1, 2, 3, 255
_PIECE = 32 * 1024
_QUEUE = 16
_OPEN_SECONDS = 15.0


@dataclass(frozen=True)
class Ended:
    """How a command ended. `status` is None where its time was up; outputs hold `limit` bytes each at most."""

    status: int | None
    stdout: bytes
    stderr: bytes


def run_in_pod(
    api: client.ApiClient,
    namespace: str,
    pod: str,
    command: Sequence[str],
    *,
    stdin: bytes,
    timeout: float,
    limit: int,
) -> Ended:
    """Run a command in a pod's one container and wait for its end, `timeout` seconds at most.

    What has not ended by then may go on: Kubernetes has no way to end it but from inside.
    Raises ClusterUnavailable where another try may do, ClusterError with the engine's status otherwise.
    """
    return finished(_run(exec_target(api, namespace, pod, command), stdin, time.monotonic() + timeout, limit))


async def _run(target: StreamTarget, stdin: bytes, deadline: float, limit: int) -> Ended:
    try:
        connection = await connect_stream(target, _OPEN_SECONDS, queue=_QUEUE)
    except InvalidStatus as error:
        raise refusal(error.response.status_code, bytes(error.response.body or b"")) from error
    except (OSError, InvalidHandshake) as error:
        raise ClusterUnavailable("the engine does not answer") from error
    heard: dict[int, bytearray] = {_STDOUT: bytearray(), _STDERR: bytearray(), _RESULT: bytearray()}
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            typing = asyncio.create_task(_type(connection, stdin))
            try:
                await _listen(connection, heard, limit)
            finally:
                typing.cancel()
    except TimeoutError:
        return Ended(None, bytes(heard[_STDOUT]), bytes(heard[_STDERR]))
    finally:
        connection.transport.abort()
    return Ended(_status(heard[_RESULT]), bytes(heard[_STDOUT]), bytes(heard[_STDERR]))


async def _type(connection: ClientConnection, stdin: bytes) -> None:
    for start in range(0, len(stdin), _PIECE):
        await connection.send(bytes([_STDIN]) + stdin[start : start + _PIECE])
    if connection.subprotocol == CHANNELS_THAT_END:
        await connection.send(bytes([_END, _STDIN]))


async def _listen(connection: ClientConnection, heard: dict[int, bytearray], limit: int) -> None:
    try:
        async for message in connection:
            if isinstance(message, bytes) and message and message[0] in heard:
                part = heard[message[0]]
                part += message[1 : 1 + limit - len(part)]
                if message[0] == _RESULT:
                    return
    except ConnectionClosed:
        return


def _status(result: bytes | bytearray) -> int:
    """The exit status in a Kubernetes Status. Raises ClusterUnavailable where there is none."""
    try:
        found = json.loads(result)
        if found["status"] == "Success":
            return 0
        causes = found.get("details", {}).get("causes", [])
        return int(next(cause["message"] for cause in causes if cause.get("reason") == "ExitCode"))
    except (ValueError, KeyError, StopIteration) as error:
        raise ClusterUnavailable("the command ended without saying how") from error
