"""The guest agent's channel: a few questions at a time, with a time limit; its answers in KubeVirt's words."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_LONGEST_ANSWER = 2**20
_LONGEST_FACT = 256
_LARGEST = 2**63
_MOST_STALE = 1000
"""Lines that may come before the answer to our own number."""
_POLL_SECONDS = 0.2

Question = tuple[str, dict[str, Any]]


class AgentError(Exception):
    """The guest agent did not answer, or refused: one sentence."""


async def ask(channel: Path, command: str, arguments: dict[str, Any] | None = None, *, seconds: float = 5.0) -> Any:
    """Put one question to the guest agent and return its answer. Raises AgentError."""
    answer = (await ask_all(channel, [(command, arguments or {})], seconds=seconds))[0]
    if isinstance(answer, AgentError):
        raise answer
    return answer


async def ask_all(channel: Path, questions: Sequence[Question], *, seconds: float) -> list[Any]:
    """The answers to several questions; an AgentError stands for one that was refused. Raises AgentError."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(str(channel), limit=_LONGEST_ANSWER)
            try:
                return await _converse(reader, writer, questions)
            finally:
                writer.close()
    except TimeoutError as error:
        raise AgentError(f"the guest agent did not answer {questions[0][0]} within {seconds:g} s") from error
    except (OSError, ValueError, RecursionError, asyncio.IncompleteReadError) as error:
        raise AgentError(f"the guest agent's channel failed: {error}") from error


async def run(channel: Path, command: Sequence[str], *, seconds: float) -> bool:
    """Whether a command in the guest ends well within a time. Raises AgentError."""
    return (await execute(channel, command, seconds=seconds))[0] == 0


async def execute(
    channel: Path, command: Sequence[str], *, seconds: float, given: bytes | None = None, poll: float = _POLL_SECONDS
) -> tuple[int, str]:
    """A command's exit status and what it printed, its standard input being what is ``given``. Raises AgentError.

    Without anything given its output is not kept.
    """
    arguments: dict[str, Any] = {"path": command[0], "arg": list(command[1:])}
    if given is not None:
        arguments |= {"input-data": base64.b64encode(given).decode(), "capture-output": True}
    try:
        async with asyncio.timeout(seconds):
            started, begun = await ask(channel, "guest-exec", arguments, seconds=seconds), time.monotonic()
            while True:
                state = await ask(channel, "guest-exec-status", {"pid": started["pid"]})
                if state["exited"]:
                    printed = [base64.b64decode(state.get(key, "")) for key in ("out-data", "err-data")]
                    return int(state.get("exitcode", -1)), _short(b"".join(printed).decode(errors="replace").strip())
                # Each question costs an emulated guest time that the command could have.
                await asyncio.sleep(max(poll, (time.monotonic() - begun) / 4))
    except TimeoutError as error:
        raise AgentError(f"the command did not end within {seconds:g} s") from error
    except (KeyError, TypeError, ValueError) as error:
        raise AgentError("the guest agent's answer is not one of a guest agent") from error


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, questions: Sequence[Question]
) -> list[Any]:
    # Answers to questions of an earlier connection may still come: everything up to our own number is skipped.
    number = secrets.randbelow(2**31)
    _send(writer, "guest-sync", {"id": number})
    for _ in range(_MOST_STALE):
        if (await _receive(reader)).get("return") == number:
            break
    else:
        raise AgentError("the guest agent answers other questions than ours")
    answers: list[Any] = []
    for command, arguments in questions:
        _send(writer, command, arguments)
        answer = await _receive(reader)
        if "error" in answer:
            why = answer["error"].get("desc") if isinstance(answer["error"], dict) else answer["error"]
            answers.append(AgentError(f"the guest agent refused {command}: {_short(why)}"))
        else:
            answers.append(answer.get("return"))
    return answers


def _send(writer: asyncio.StreamWriter, command: str, arguments: dict[str, Any]) -> None:
    writer.write(json.dumps({"execute": command} | ({"arguments": arguments} if arguments else {})).encode() + b"\n")


async def _receive(reader: asyncio.StreamReader) -> dict[str, Any]:
    line = await reader.readline()
    if not line:
        raise AgentError("the guest agent's channel was closed")
    found = json.loads(line.strip(b"\xff \r\n") or b"{}")
    return found if isinstance(found, dict) else {}


_OS_WORDS = {
    "id": "id", "name": "name", "version": "version", "version-id": "versionId", "pretty-name": "prettyName",
    "kernel-release": "kernelRelease", "kernel-version": "kernelVersion", "machine": "machine",
}  # fmt: skip
_USER_WORDS = {"user": "userName", "domain": "domain", "login-time": "loginTime"}
_DISK_WORDS = {
    "name": "diskName", "mountpoint": "mountPoint", "type": "fileSystemType", "used-bytes": "usedBytes",
    "total-bytes": "totalBytes",
}  # fmt: skip


def guest_os_info(answer: Any) -> dict[str, Any]:
    """``guest-get-osinfo`` in the words of a VMI's ``status.guestOSInfo``."""
    return _translated(answer, _OS_WORDS)


def users(answer: Any) -> list[dict[str, Any]]:
    """``guest-get-users`` as KubeVirt lists the users that are logged in."""
    return _each(answer, _USER_WORDS)


def filesystems(answer: Any) -> list[dict[str, Any]]:
    """``guest-get-fsinfo`` as KubeVirt lists mounted file systems."""
    return [{"usedBytes": 0, "totalBytes": 0, **item} for item in _each(answer, _DISK_WORDS)]


REBOOT: tuple[Question, ...] = (("guest-shutdown", {"mode": "reboot"}),)
INFO: tuple[Question, ...] = tuple(
    (f"guest-{name}", {}) for name in ("info", "get-host-name", "get-osinfo", "get-timezone", "get-users", "get-fsinfo")
)
"""The questions behind :func:`guest_info`."""


def guest_info(answers: Sequence[Any]) -> dict[str, Any]:
    """A VirtualMachineInstanceGuestAgentInfo from the answers to ``INFO``; what was refused is left out."""
    info, host, system, zone, logged_in, mounted = answers
    commands = info.get("supported_commands") if isinstance(info, dict) else []
    where = _translated(zone, {"zone": "zone", "offset": "offset"})
    return {
        **_translated(info, {"version": "guestAgentVersion"}),
        **_translated(host, {"host-name": "hostname"}),
        "supportedCommands": _each(commands, {"name": "name", "enabled": "enabled"}),
        "os": guest_os_info(system),
        "timezone": f"{where.get('zone', '')}, {where.get('offset', 0)}",
        "userList": users(logged_in),
        "fsInfo": {"disks": filesystems(mounted)},
    }


def _each(answer: Any, words: dict[str, str]) -> list[dict[str, Any]]:
    return [_translated(item, words) for item in answer] if isinstance(answer, list) else []


def _translated(answer: Any, words: dict[str, str]) -> dict[str, Any]:
    # The guest writes what it likes, if anything: no more of it is kept than a name needs.
    given = answer if isinstance(answer, dict) else {}
    found = {ours: given[theirs] for theirs, ours in words.items() if theirs in given}
    # A number is kept as one if JSON and everybody who reads it can have it: not NaN, nor one of a thousand digits.
    return {
        key: value if isinstance(value, int | float) and abs(value) < _LARGEST else _short(value)
        for key, value in found.items()
    }


def _short(value: Any) -> str:
    return str(value)[:_LONGEST_FACT].encode(errors="replace").decode()
