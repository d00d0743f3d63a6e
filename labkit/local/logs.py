"""Logs of machines: lines, each with the time at which it began, in two bounded files (``NAME.1`` is the older)."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

_LIMIT = 512 * 1024
"""Bytes after which a new file is begun; one that ends no line is cut at twice as many."""
_POLL_SECONDS = 0.25
_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ "
_CONMON = rb"\.\d{9}\+00:00 std(?:out|err) (?:F|(?P<part>P))"
"""What a container's watcher writes: the stream, and whether the line goes on in the next one."""
_STAMP = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6}Z|" + _CONMON + rb") ", re.MULTILINE)


@dataclass(frozen=True)
class Selection:
    """Which lines to show: the last ``tail``, those not older than ``since``, at most ``limit`` bytes in all."""

    tail: int | None = None
    since: datetime | None = None
    limit: int | None = None
    timestamps: bool = False


def append(log: Path, data: bytes) -> None:
    """Append output to a private log; every line gets the time at which its first byte came."""
    stamp = datetime.now(UTC).strftime(_FORMAT).encode()
    descriptor = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with open(descriptor, "ab") as file:
        size = os.fstat(descriptor).st_size
        begins = size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
        file.write((stamp if begins else b"") + re.sub(rb"\n(?=.)", b"\n" + stamp, data, flags=re.DOTALL))
    if size > (_LIMIT if data.endswith(b"\n") else 2 * _LIMIT):
        log.replace(_older(log))


def last_bytes(log: Path, count: int) -> bytes:
    """The last output as it was printed, from the beginning of a line: at most ``count`` bytes."""
    text = _STAMP.sub(b"", b"".join(file.read_bytes() for file in (_older(log), log) if file.exists()))
    return text if len(text) <= count else text[-count:].partition(b"\n")[2]


async def read(log: Path, chosen: Selection, more: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The chosen lines, then new ones once they have ended, while ``more`` says so. Raises FileNotFoundError."""
    file = log.open("rb")
    try:
        pending = (_older(log).read_bytes() if _older(log).exists() else b"") + file.read()
        while True:
            going = more()
            whole, newline, rest = pending.rpartition(b"\n")
            lines, pending = (whole + newline, rest) if going else (pending, b"")
            text = _shown(lines, chosen)
            if text:
                yield text
            left = None if chosen.limit is None else chosen.limit - len(text)
            chosen = replace(chosen, tail=None, limit=left)
            if not going or left == 0:
                return
            await asyncio.sleep(_POLL_SECONDS)
            new = file.read()
            if not new and log.exists() and not os.path.samestat(os.fstat(file.fileno()), log.stat()):
                file.close()
                file = log.open("rb")
                new = file.read()
            pending += new
    finally:
        file.close()


def _older(log: Path) -> Path:
    return log.with_name(f"{log.name}.1")


def _shown(text: bytes, chosen: Selection) -> bytes:
    since = chosen.since.astimezone(UTC).strftime(_FORMAT).encode() if chosen.since else b""
    stamp, lines = b"", []
    for line in re.findall(rb"[^\n]*\n|[^\n]+", text):
        # A line without a time of its own (QEMU prints some) is as old as the one before.
        found = _STAMP.match(line)
        stamp = found[0] if found else stamp
        if stamp >= since:
            whole = line if not found else line[found.end() : -1] if found["part"] else line[found.end() :]
            lines.append((stamp.partition(b" ")[0] + b" " if chosen.timestamps else b"") + whole)
    if chosen.tail is not None:
        lines = lines[max(0, len(lines) - chosen.tail) :]
    return b"".join(lines)[: chosen.limit]
