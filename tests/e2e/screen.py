"""Reading a VGA text screen from its picture, as exactly as a person would: by the shapes of its own characters.

The picture is noVNC's canvas at the guest's own size: 80 columns of 9 pixels, 25 rows of 16. Characters that have been
seen once, where it is known what they are, are recognised ever after.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable

from PIL import Image
from playwright.sync_api import Frame

CELL = (9, 16)
CURSOR_LINES = 3  # the blinking cursor lives in a cell's lowest lines: they are not looked at


class TextScreen:
    """One screen, looked at again and again."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._known: dict[bytes, str] = {}

    def picture(self) -> Image.Image:
        """The screen at this moment, black and white."""
        url = self._frame.evaluate("document.querySelector('canvas').toDataURL('image/png')")
        data = base64.b64decode(url.split(",", 1)[1])
        return Image.open(io.BytesIO(data)).convert("L").point(lambda value: 255 if value > 60 else 0)

    def rows(self) -> list[list[bytes]]:
        """The screen as rows of cells."""
        picture, (width, height) = self.picture(), CELL
        return [
            [
                picture.crop((x, y, x + width, y + height - CURSOR_LINES)).tobytes()
                for x in range(0, picture.width - width + 1, width)
            ]
            for y in range(0, picture.height - height + 1, height)
        ]

    def used_rows(self) -> int:
        """How many rows have something in them."""
        return sum(any(any(cell) for cell in row) for row in self.rows())

    def wait(self, what: Callable[[list[list[bytes]]], bool], seconds: float = 60) -> list[list[bytes]]:
        """The first rows for which `what` holds. Raises AssertionError after `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            rows = self.rows()
            if what(rows):
                return rows
            self._frame.wait_for_timeout(150)
        raise AssertionError(f"the screen did not become what was waited for within {seconds} s")

    def wait_for_more_rows(self, than: int) -> None:
        """Wait until more rows are in use: something was answered."""
        self.wait(lambda rows: sum(any(any(cell) for cell in row) for row in rows) > than)

    def learn(self, text: str, rows: list[list[bytes]], row: int) -> None:
        """The characters of `text` stand at the beginning of a row."""
        self._known.update(dict(zip(rows[row], text, strict=False)))
        assert len(set(rows[row][: len(text)])) == len(set(text)), "characters that differ must look different"

    def read(self, rows: list[list[bytes]], row: int) -> str:
        """A row's text, as far as its characters are known; unknown ones are question marks."""
        blank = bytes(CELL[0] * (CELL[1] - CURSOR_LINES))
        cells = [" " if cell == blank else self._known.get(cell, "?") for cell in rows[row]]
        return "".join(cells).rstrip()
