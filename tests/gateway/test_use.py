"""Which bytes of a browser's are somebody's input, and how that is reported."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from websockets.frames import Frame, Opcode

from labkit.gateway.use import Uses, is_input
from labkit.model import PaneType

VNC, CONSOLE, TERMINAL = PaneType.VNC, PaneType.CONSOLE, PaneType.TERMINAL
KEY, POINTER, NEXT_PICTURE = b"\x04\x01" + bytes(6), b"\x05" + bytes(5), b"\x03\x01" + bytes(8)


def frame(payload: bytes, opcode: Opcode = Opcode.BINARY) -> bytes:
    """A WebSocket frame as a browser sends it: masked."""
    return Frame(opcode, payload).serialize(mask=True)


@pytest.mark.parametrize(
    ("kind", "sent", "used"),
    [
        (VNC, frame(KEY), True),
        (VNC, frame(POINTER) + frame(NEXT_PICTURE), True),
        (VNC, frame(NEXT_PICTURE), False),
        (VNC, frame(b"", Opcode.TEXT), False),
        (CONSOLE, frame(b"ls\r"), True),
        (CONSOLE, frame(b"x" * 70_000), True),
        (CONSOLE, frame(b"", Opcode.TEXT), False),
        (TERMINAL, frame(b"0ls\r"), True),
        (TERMINAL, frame(b"0" + b"x" * 300), True),
        (TERMINAL, frame(b'1{"columns": 80}'), False),
        (TERMINAL, frame(b"", Opcode.PONG), False),
        (TERMINAL, b"\x82\xfe\x01", False),
    ],
)
def test_typing_and_pointing_are_input_signs_of_life_are_not(kind: PaneType, sent: bytes, used: bool) -> None:
    assert is_input(kind, sent) is used


def test_the_last_use_of_each_lab_is_reported_in_one_file(tmp_path: Path) -> None:
    uses = Uses(tmp_path / "activity.json")
    uses.write()
    assert not (tmp_path / "activity.json").exists()
    uses.noting("one", CONSOLE)(frame(b"x"))
    uses.noting("other", VNC)(frame(NEXT_PICTURE))
    uses.write()
    assert json.loads((tmp_path / "activity.json").read_text()) == {"one": pytest.approx(time.time(), abs=5)}


def test_a_report_that_cannot_be_written_ends_no_gateway_and_is_tried_again(tmp_path: Path) -> None:
    report = tmp_path / "gone" / "activity.json"
    uses = Uses(report)
    uses.noting("one", CONSOLE)(frame(b"x"))
    uses.write()
    report.parent.mkdir()
    uses.write()
    assert "one" in json.loads(report.read_text())
