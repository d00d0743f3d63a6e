"""The guest agent's channel: one question at a time, each with a time limit."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

_LONGEST_ANSWER = 2**20
_LONGEST_FACT = 256


class AgentError(Exception):
    """The guest agent did not answer, or refused: one sentence."""


async def ask(channel: Path, command: str, arguments: dict[str, Any] | None = None, *, seconds: float = 5.0) -> Any:
    """Put one question to the guest agent and return its answer. Raises AgentError."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(str(channel), limit=_LONGEST_ANSWER)
            try:
                return await _converse(reader, writer, command, arguments)
            finally:
                writer.close()
    except TimeoutError as error:
        raise AgentError(f"the guest agent did not answer {command} within {seconds:g} s") from error
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        raise AgentError(f"the guest agent's channel failed: {error}") from error


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: str, arguments: dict[str, Any] | None
) -> Any:
    # Answers to questions of an earlier connection may still come: everything up to our own number is skipped.
    number = secrets.randbelow(2**31)
    _send(writer, {"execute": "guest-sync", "arguments": {"id": number}})
    while (await _receive(reader)).get("return") != number:
        pass
    _send(writer, {"execute": command} | ({"arguments": arguments} if arguments else {}))
    answer = await _receive(reader)
    if "error" in answer:
        raise AgentError(f"the guest agent refused {command}: {answer['error'].get('desc', 'no reason given')}")
    return answer.get("return")


def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    writer.write(json.dumps(message).encode() + b"\n")


async def _receive(reader: asyncio.StreamReader) -> dict[str, Any]:
    line = await reader.readline()
    if not line:
        raise AgentError("the guest agent's channel was closed")
    found = json.loads(line.strip(b"\xff \r\n") or b"{}")
    return found if isinstance(found, dict) else {}


def guest_os_info(answer: dict[str, Any]) -> dict[str, str]:
    """``guest-get-osinfo`` in the words of a VMI's ``status.guestOSInfo``."""
    words = {
        "id": "id",
        "name": "name",
        "version": "version",
        "version-id": "versionId",
        "pretty-name": "prettyName",
        "kernel-release": "kernelRelease",
        "kernel-version": "kernelVersion",
        "machine": "machine",
    }
    # The guest writes what it likes: no more of it is kept than a name needs.
    return {ours: str(answer[theirs])[:_LONGEST_FACT] for theirs, ours in words.items() if theirs in answer}
