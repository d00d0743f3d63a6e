"""Whose pages may hold pane pages in their frames, beside our own: learning platforms that launch to labkit."""

from __future__ import annotations

import json
import re
from pathlib import Path

_ORIGIN = re.compile(r"https?://[a-zA-Z0-9.:\[\]-]+")


class Embedders:
    """The origins in a file, a JSON list, which the web application writes. It is read for each page: it is small."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def origins(self) -> str:
        """As a Content-Security-Policy has them; "" for none."""
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return ""
        listed = found if isinstance(found, list) else []
        return " ".join(one for one in listed if isinstance(one, str) and _ORIGIN.fullmatch(one))
