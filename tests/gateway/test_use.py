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
        pytest.param(VNC, frame(KEY), True, id="vnc: a key"),
        pytest.param(VNC, frame(POINTER) + frame(NEXT_PICTURE), True, id="vnc: a pointer"),
        pytest.param(VNC, frame(NEXT_PICTURE), False, id="vnc: a picture asked for"),
        pytest.param(VNC, frame(b"", Opcode.TEXT), False, id="vnc: sign of life"),
        pytest.param(CONSOLE, frame(b"ls\r"), True, id="console: a line"),
        pytest.param(CONSOLE, frame(b"x" * 70_000), True, id="console: a long paste"),
        pytest.param(CONSOLE, frame(b"", Opcode.TEXT), False, id="console: sign of life"),
        pytest.param(TERMINAL, frame(b"0ls\r"), True, id="terminal: a line"),
        pytest.param(TERMINAL, frame(b"0" + b"x" * 300), True, id="terminal: a paste"),
        pytest.param(TERMINAL, frame(b'1{"columns": 80}'), False, id="terminal: a new size"),
        pytest.param(TERMINAL, frame(b"", Opcode.PONG), False, id="terminal: a pong"),
        pytest.param(TERMINAL, b"\x82\xfe\x01", False, id="terminal: a piece of a frame"),
    ],
)
def test_typing_and_pointing_are_input_signs_of_life_are_not(kind: PaneType, sent: bytes, used: bool) -> None:
    assert is_input(kind, sent) is used


def test_the_last_use_of_each_lab_is_reported_in_one_file_also_where_there_is_none(tmp_path: Path) -> None:
    uses = Uses(tmp_path / "activity.json")
    uses.write()
    assert json.loads((tmp_path / "activity.json").read_text()) == {}
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
